"""Measures of an object, on masks of which the numbers are known."""

import math

import numpy as np
import pytest

from scripts.audit.measures import AGREEMENT, MEASURES, agreement, contacts, measure_object
from scripts.cohort.components import boxes

SIZE = (1.0, 2.0, 3.0)


def measured(objects, image=None, number=1, centres=None):
    box = boxes(objects, 3)[number - 1]
    image = np.zeros(objects.shape) if image is None else image
    return measure_object(objects, image, SIZE, number, box, centres or {})


def block(*ends):
    objects = np.zeros((20, 20, 10), np.int16)
    objects[ends] = 1
    return objects


def test_a_block_has_its_volume_extents_place_and_surface():
    found = measured(block(slice(4, 8), slice(10, 13), slice(2, 4)))
    assert set(found) == set(MEASURES)
    assert math.exp(found["log_volume"]) == pytest.approx(4 * 3 * 2 * 6)
    assert [math.exp(found[f"extent_{axis}"]) for axis in "xyz"] == pytest.approx([4, 6, 6])
    assert [found[axis] for axis in "xyz"] == pytest.approx([6 - 10, 23 - 20, 9 - 15])
    surface = 2 * (4 * 6 + 4 * 6 + 6 * 6)
    assert found["compactness"] == pytest.approx(math.log(surface / 144 ** (2 / 3)))
    assert (found["log_pieces"], found["main_piece"], found["stray"]) == (0, 1, 0)
    assert (found["first"], found["last"], found["jump"]) == (1, 1, 0)


def test_its_place_among_the_others():
    centres = {1: np.zeros(3), 2: np.array([6.0, 23, 9]), 3: np.array([8.0, 23, 9])}
    found = measured(block(slice(4, 8), slice(10, 13), slice(2, 4)), centres=centres)
    assert [found[f"among_{axis}"] for axis in "xyz"] == pytest.approx([-1, 0, 0])


def test_pieces_are_counted_and_how_far_they_lie_apart():
    objects = block(slice(0, 4), slice(0, 4), slice(0, 2))
    objects[10:12, 0:4, 0:2] = 1
    found = measured(objects)
    assert math.exp(found["log_pieces"]) == pytest.approx(2)
    assert found["main_piece"] == pytest.approx(2 / 3)
    assert math.expm1(found["stray"]) == pytest.approx(9 / 3)


def test_slices_that_jump():
    objects = block(slice(0, 4), slice(0, 4), slice(0, 3))
    objects[2:, :, 1] = 0
    found = measured(objects)
    assert found["jump"] == pytest.approx(0.5)


def test_intensities_inside_around_and_of_a_part():
    objects = block(slice(4, 12), slice(4, 12), slice(2, 8))
    image = np.where(objects == 1, 0.5, -0.5)
    found = measured(objects, image)
    assert [found[name] for name in ("mean", "sd", "p10", "p90", "around", "edge", "uneven", "odd_slice")] == (
        pytest.approx([0.5, 0, 0.5, 0.5, -0.5, 1, 0, 0])
    )
    image[8:12, 8:12, 5:8] = 0.9  # an octant
    assert measured(objects, image)["uneven"] == pytest.approx(0.4)
    image = np.where(objects == 1, 0.5, -0.5)
    image[:, :, 4] = 0.1
    assert measured(objects, image)["odd_slice"] == pytest.approx(0.4)


def test_a_single_voxel_is_measured():
    found = measured(block(3, 3, 3))
    assert np.isfinite(list(found.values())).all()


def test_contacts_are_shares_of_the_surface():
    objects = np.zeros((6, 4, 4), np.int16)
    objects[1:3], objects[3:5] = 1, 2
    assert contacts(objects, 1, 3) == pytest.approx([0.5, 0, 0.5, 0])
    assert contacts(np.ones((2, 2, 2), np.int16), 1, 2) == pytest.approx([0, 0, 0])


def test_agreement_with_another_map():
    own = np.ones((4, 1, 1), bool)
    attention = np.array([1, 1, 2, 0]).reshape(4, 1, 1)
    found = agreement(own, attention, 1, elsewhere=2)
    assert tuple(found) == AGREEMENT
    assert list(found.values()) == pytest.approx([2 * 2 / 8, 0.25, 0.25, 0.5])
