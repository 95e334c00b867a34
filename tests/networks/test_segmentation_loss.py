"""Segmentation losses with ignored voxels, which give neither value nor gradient, and organs that are not annotated."""

import pytest
import torch
from monai.losses import DiceCELoss

from scripts.networks.segmentation_loss import IgnoringLoss, OrganLoss, Target, merge_unknown

LOSSES = {
    "one object": (DiceCELoss(sigmoid=True, squared_pred=True), 1),
    "several": (DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True), 4),
}


def batch(channels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, C, 6, 7) and labels (2, 1, 6, 7), some ignored."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, channels, 6, 7, generator=rng).requires_grad_()
    label = torch.randint(0, max(channels, 2), (2, 1, 6, 7), generator=rng).float()
    label[:, :, 2:4] = -1
    return logits, label


@pytest.mark.parametrize("which", LOSSES)
def test_predictions_on_ignored_voxels_change_neither_loss_nor_gradient(which):
    loss, channels = LOSSES[which]
    logits, label = batch(channels)
    other = torch.where(label < 0, logits.detach() * 9 + 5, logits.detach()).requires_grad_()
    values = [IgnoringLoss(loss)(given, label) for given in (logits, other)]
    assert values[0] == values[1]
    for value in values:
        value.backward()
    assert torch.equal(logits.grad, other.grad)
    ignored = (label < 0).expand_as(logits)
    assert not logits.grad[ignored].any()
    assert logits.grad[~ignored].abs().min() > 0


@pytest.mark.parametrize("which", LOSSES)
def test_without_ignored_voxels_it_is_the_loss_itself(which):
    loss, channels = LOSSES[which]
    logits, label = batch(channels)
    label = label.clamp_min(0)
    assert IgnoringLoss(loss)(logits, label) == loss(logits, label)


def test_dice_is_that_of_the_other_voxels():
    logits, label = batch(1)
    dice = DiceCELoss(sigmoid=True, squared_pred=True, lambda_ce=0)
    kept = [part.detach()[:, :, [0, 1, 4, 5]] for part in (logits, label)]
    assert IgnoringLoss(dice)(logits, label).item() == pytest.approx(dice(*kept).item(), abs=1e-6)


def test_in_half_precision_nothing_overflows():
    logits, label = batch(1)
    value = IgnoringLoss(DiceCELoss(sigmoid=True, squared_pred=True))(logits.half(), label.half())
    assert torch.isfinite(value)


# organs that are not annotated


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


def test_guesses_count_by_their_weight():
    logits, label = torch.randn(3, 4, 6, 5), torch.randint(0, 4, (3, 1, 6, 5))
    loss = OrganLoss(dice_ce())
    both = loss(logits, Target(label[:2], None, label[2:], 0.3))
    torch.testing.assert_close(both, loss(logits[:2], Target(label[:2])) + 0.3 * loss(logits[2:], Target(label[2:])))
