"""Batches of plain networks as they are seen: images, and the target of the loss."""

import pytest
import torch

from scripts.multiclass.augmentation import Augmentation
from scripts.multiclass.learning import PrepareSlices
from scripts.multiclass.teacher import Teacher


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
    strong.set_random_state(0), weak.set_random_state(1)
    shown, target = PrepareSlices(strong, weak, Teacher(network, "cpu", 1.0))(given, torch.device("cpu"))
    assert shown.shape == (3, 1, 32, 32)
    assert target.annotated is None
    assert target.label.shape == (1, 1, 32, 32)
    assert target.guessed.shape == (2, 1, 32, 32)
    known = target.guessed >= 0
    assert known.float().mean() > 0.5
    assert ((shown[1:] > 0) == (target.guessed == 1))[known].float().mean() > 0.97
