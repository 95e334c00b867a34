"""Augmentation of batches: image and label move together, and each image in its own way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scripts.errors import SemclError
from scripts.multiclass.augmentation import ODDS, Augmentation, reduced


def batch(dims: int, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Images with a bright box that is off-centre, and its label."""
    size = (40, 32, 16)[:dims]
    label = torch.zeros(count, 1, *size, dtype=torch.int16)
    label[(slice(None), slice(None), slice(8, 18), slice(10, 22), slice(4, 12))[: 2 + dims]] = 3
    return (label > 0).float() * 2 - 1, label


@pytest.mark.parametrize("dims", [2, 3])
def test_without_changes_nothing_changes(dims):
    image, label = batch(dims)
    changed, shown = Augmentation(moved=0, often=0)(image, label)
    torch.testing.assert_close(changed, image, atol=1e-4, rtol=0)
    assert torch.equal(shown, label)


@pytest.mark.parametrize("dims", [2, 3])
def test_image_and_label_move_together(dims):
    image, label = batch(dims)
    augmentation = Augmentation(moved=1, often=0, shift=0.1)
    augmentation.set_random_state(0)
    changed, shown = augmentation(image, label)
    for one, number in zip(changed, shown, strict=True):
        known = number >= 0
        assert ((one > 0) == (number == 3))[known].float().mean() > 0.97
    assert len({int((number == 3).sum()) for number in shown}) == len(image)
    assert (shown == -1).any()
    assert changed[shown == -1].max() <= 0.01 if dims == 2 else True


def test_a_rotation_keeps_distances_where_sides_differ():
    label = torch.zeros(1, 1, 96, 64)
    label[..., 33:63, 17:47] = 1
    augmentation = Augmentation(scaling=(1, 1), rotation=45, moved=1, often=0)
    augmentation.set_random_state(1)
    _, shown = augmentation(label * 2 - 1, label)
    assert int((shown == 1).sum()) == pytest.approx(900, rel=0.03)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_deformation_bends_image_and_label_together_and_keeps_the_order_of_places(dims):
    sides = (40, 32, 24)[:dims]
    image = torch.linspace(-0.5, 0.5, sides[0]).reshape(1, 1, -1, *[1] * (dims - 1)).repeat(8, 1, 1, *sides[1:])
    label = (image > 0).short()
    augmentation = Augmentation(scaling=(1, 1), rotation=0, elastic=0.45, moved=1, often=0)
    augmentation.set_random_state(0)
    changed, shown = augmentation(image, label)
    inside = (slice(None), slice(None), *[slice(4, -4)] * dims)
    known = shown[inside] >= 0
    assert ((changed[inside] > 0) == (shown[inside] == 1))[known].float().mean() > 0.97
    steps = changed[inside].diff(dim=2)
    assert steps.min() > 0  # places along an axis keep their order
    assert steps.std() > 0.1 * steps.mean()
    assert not torch.equal(changed[0], changed[1])


def test_a_deformation_happens_as_often_as_other_changes_of_place():
    augmentation = Augmentation(elastic=0.36, moved=0.3)
    augmentation.set_random_state(0)
    drawn = augmentation.draw(2000, 2)
    bent = (drawn["elastic"] != 0).any((1, 2, 3))
    assert np.array_equal(bent, drawn["angle"] != 0)
    assert bent.mean() == pytest.approx(0.3, abs=0.05)
    assert np.abs(drawn["elastic"]).max() == pytest.approx(0.36 * 2 / 8, rel=0.01)


@pytest.mark.parametrize("elastic", [-0.1, 0.5, float("nan")])
def test_too_large_a_deformation_is_refused(elastic):
    with pytest.raises(SemclError, match="cannot be deformed this far"):
        Augmentation(elastic=elastic)


def test_structures_grow_by_the_factor():
    image, label = batch(2, 50)
    augmentation = Augmentation(scaling=(0.7, 0.7), rotation=0, moved=1, often=0)
    _, shown = augmentation(image, label)
    assert (shown == 3).sum() / (label == 3).sum() == pytest.approx(0.49, abs=0.06)


def test_intensities_change_as_often_as_in_nnu_net():
    augmentation = Augmentation()
    augmentation.set_random_state(0)
    drawn = augmentation.draw(20000, 2)
    neutral = {"blur": 0, "contrast": 1, "brightness": 0, "gamma": 1, "noise": 0, "resolution": 1}
    names = {"contrast": "gain", "brightness": "offset"}
    for name, odds in ODDS.items():
        assert np.mean(drawn[names.get(name, name)] != neutral[name]) == pytest.approx(odds, abs=0.02)


def test_intensities_change_and_stay_in_the_window():
    image, label = batch(2, 20)
    augmentation = Augmentation(moved=0, often=10)
    augmentation.set_random_state(0)
    changed, shown = augmentation(image * 0.5, label)
    assert torch.equal(shown, label)
    assert changed.min() >= -1
    assert changed.max() <= 1
    assert ((changed - image * 0.5).abs().flatten(1).mean(1) > 1e-3).all()


def test_a_flip_that_swaps_partners_is_refused(table):
    assert table.flip_axes == []
    Augmentation(flip_axes=[0])
    unpaired = replace(table, organs=tuple(replace(organ, partner=None) for organ in table.organs))
    Augmentation(flip_axes=[0, 1], table=unpaired)
    for axis in (0, 1):
        with pytest.raises(SemclError, match=r"(?s)into its left-right partner.*flips along \[\] only"):
            Augmentation(flip_axes=[axis], table=table)


def test_only_the_given_axes_are_mirrored():
    image, label = batch(2, 20)
    _, same = Augmentation(moved=0, often=0)(image, label)
    assert torch.equal(same, label)
    _, shown = Augmentation(moved=0, often=0, flip_axes=[0])(image, label)
    mirrored = [torch.equal(one, other.flip(1)) for one, other in zip(shown, label, strict=True)]
    assert 0 < sum(mirrored) < 20
    assert all(torch.equal(one, other) for one, other, turned in zip(shown, label, mirrored, strict=True) if not turned)


def test_the_same_seed_gives_the_same_views():
    image, label = batch(2)
    augmentation = Augmentation()
    found = []
    for _ in range(2):
        augmentation.set_random_state(5)
        found.append(augmentation(image, label)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_reduced_image_has_fewer_details(dims):
    image = torch.randn(1, *(32, 24, 16)[:dims])
    small = reduced(image, 0.5)
    assert small.shape == image.shape
    assert small.std() < image.std()
