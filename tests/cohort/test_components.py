"""Boxes and parts of objects, against scipy's."""

import numpy as np
import pytest
from scipy import ndimage

from scripts.cohort.components import boxes, parts


@pytest.mark.parametrize("count", [None, 3, 9])
def test_boxes_are_those_of_scipy(count):
    rng = np.random.default_rng(0)
    for _ in range(20):
        objects = rng.integers(0, 7, rng.integers(1, 6, 3)) * (rng.random() < 0.9)
        objects[objects == 4] = 0
        found = ndimage.find_objects(objects, count or 0)
        assert boxes(objects.astype(np.uint16), count) == (found or [None] * (count or 0))


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_parts_are_those_of_scipy(corners, density):
    rng = np.random.default_rng(int(density * 10))
    for _ in range(20):
        mask = rng.random(rng.integers(1, 12, 3)) < density
        expected, count = ndimage.label(mask, np.ones((3, 3, 3)) if corners else None)
        found, number = parts(mask, corners)
        assert number == count
        pairs = {(int(one), int(two)) for one, two in zip(expected.ravel(), found.ravel(), strict=True)}
        assert len(pairs) == count + (not mask.all())  # each part of the one is a part of the other
        assert all((one == 0) == (two == 0) for one, two in pairs)


def test_a_long_winding_part_is_one():
    mask = np.zeros((41, 41, 5), bool)
    mask[::2] = True
    mask[1::4, -1, 0] = mask[3::4, 0, -1] = True
    assert parts(mask)[1] == 1
    mask[21, :, :] = False
    assert parts(mask)[1] == 2
