"""The loss of all organs at once, where some are not annotated."""

import pytest
import torch
from monai.losses import DiceCELoss

from scripts.multiclass.augmentation import Augmentation
from scripts.multiclass.learning import OrganLoss, PrepareSlices, Target, merge_unknown
from scripts.multiclass.teacher import Teacher


def dice_ce() -> DiceCELoss:
    return DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True)


def test_where_all_is_annotated_it_is_the_loss_itself():
    logits, label = torch.randn(2, 4, 6, 5), torch.randint(0, 4, (2, 1, 6, 5))
    assert OrganLoss(dice_ce())(logits, Target(label)) == dice_ce()(logits, label)
    torch.testing.assert_close(merge_unknown(logits, torch.ones(2, 4, dtype=torch.bool)).softmax(1), logits.softmax(1))


def test_an_organ_that_is_not_annotated_is_background():
    logits = torch.randn(2, 4, 6, 5)
    known = torch.tensor([[True, True, False, False], [True] * 4])
    found, whole = merge_unknown(logits, known).softmax(1), logits.softmax(1)
    torch.testing.assert_close(found[0, 0], whole[0, [0, 2, 3]].sum(0))
    torch.testing.assert_close(found[0, 1], whole[0, 1])
    assert found[0, 2:].max() < 1e-9
    torch.testing.assert_close(found[1], whole[1])


def test_calling_background_an_organ_costs_nothing_only_where_it_is_not_annotated():
    label = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    logits = torch.zeros(1, 3, 4, 4)
    logits[:, 2] = 20
    known = torch.tensor([[True, True, False]])
    flat = OrganLoss(DiceCELoss(to_onehot_y=True, softmax=True, lambda_dice=0))
    assert flat(logits, Target(label, known)) < 1e-4
    assert flat(logits, Target(label)) > 10


def test_ignored_voxels_have_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    label = torch.randint(0, 3, (1, 1, 4, 4))
    label[..., :2] = -1
    OrganLoss(dice_ce())(logits, Target(label)).backward()
    assert logits.grad[..., :2].eq(0).all()
    assert logits.grad[..., 2:].ne(0).any()


@pytest.mark.parametrize("whole", [True, False])
def test_a_batch_becomes_images_and_their_target(whole):
    given = {
        "image": torch.zeros(2, 1, 8, 8),
        "label": torch.zeros(2, 1, 8, 8, dtype=torch.int16),
        "annotated": torch.tensor([[True, True], [True, whole]]),
    }
    given["labelled"] = torch.ones(2, dtype=torch.bool)
    image, target = PrepareSlices(Augmentation())(given, torch.device("cpu"))
    assert image.shape == target.label.shape == (2, 1, 8, 8)
    assert target.annotated is None if whole else torch.equal(target.annotated, given["annotated"])
    assert target.guessed is None


def test_what_the_teacher_guesses_moves_with_the_image():
    network = torch.nn.Conv2d(1, 2, 1)
    network.weight.data = torch.tensor([0.0, 100]).view(2, 1, 1, 1)
    network.bias.data.zero_()
    image = -torch.ones(3, 1, 32, 32)
    image[..., 8:16, 10:22] = 1
    given = {
        "image": image,
        "label": torch.full((3, 1, 32, 32), -1, dtype=torch.int16),
        "annotated": torch.tensor([[True, True], [True, False], [True, False]]),
        "labelled": torch.tensor([True, False, False]),
    }
    strong, weak = Augmentation(moved=1, often=0), Augmentation((0.9, 1.1), moved=1, often=0)
    shown, target = PrepareSlices(strong, weak, Teacher(network, "cpu", 1.0))(given, torch.device("cpu"))
    assert shown.shape == (3, 1, 32, 32)
    assert target.annotated is None
    assert target.label.shape == (1, 1, 32, 32)
    assert target.guessed.shape == (2, 1, 32, 32)
    known = target.guessed >= 0
    assert known.float().mean() > 0.5
    assert ((shown[1:] > 0) == (target.guessed == 1))[known].float().mean() > 0.97


def test_guesses_count_by_their_weight():
    logits, label = torch.randn(3, 4, 6, 5), torch.randint(0, 4, (3, 1, 6, 5))
    loss = OrganLoss(dice_ce())
    both = loss(logits, Target(label[:2], None, label[2:], 0.3))
    torch.testing.assert_close(both, loss(logits[:2], Target(label[:2])) + 0.3 * loss(logits[2:], Target(label[2:])))
