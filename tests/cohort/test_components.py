"""Bounding boxes of objects, and which of their connected components are removed."""

import numpy as np
import pytest

from scripts.cohort.components import boxes, without_islands


@pytest.mark.parametrize("count", [None, 3, 9])
def test_a_box_holds_its_object_and_no_empty_border(count):
    rng = np.random.default_rng(0)
    for _ in range(20):
        objects = (rng.integers(0, 7, rng.integers(1, 6, 3)) * (rng.random() < 0.9)).astype(np.uint16)
        objects[objects == 4] = 0
        found = boxes(objects, count)
        assert len(found) == (objects.max(initial=0) if count is None else count)
        for number, box in enumerate(found, start=1):
            where = np.argwhere(objects == number)
            corners = [(part.start, part.stop) for part in box] if box else []
            assert corners == (list(zip(where.min(0), where.max(0) + 1, strict=True)) if len(where) else [])


@pytest.mark.parametrize(("objects", "found"), [(np.zeros((2, 2, 2), int), []), (np.full((2, 2, 2), -1), [])])
def test_a_map_without_objects_has_no_boxes(objects, found):
    assert boxes(objects) == found
    assert boxes(objects, 2) == [None, None]
    assert boxes(objects[:0], 2) == [None, None]


def organs() -> np.ndarray:
    """Object 2: components of 27, 8 and 1 voxels. Object 5: two voxels that meet at a corner alone."""
    objects = np.zeros((20, 20, 20), np.int16)
    objects[1:4, 1:4, 1:4] = 2
    objects[8:10, 8:10, 8:10] = 2
    objects[15, 15, 15] = 2
    objects[18, 18, 18] = objects[19, 19, 19] = 5
    return objects


@pytest.mark.parametrize(("smallest", "left"), [(0.01, 36), (0.1, 35), (8 / 27, 35), (0.3, 27), (1.0, 27)])
def test_components_below_the_share_are_removed(smallest, left):
    kept = without_islands(organs(), smallest)
    assert (kept == 2).sum() == left
    assert (kept == 5).sum() == 2  # of two equal components each is the largest
    assert ((kept == organs()) | (kept == 0)).all()


def test_the_input_map_is_not_modified():
    given = organs()
    without_islands(given, 1.0)
    assert np.array_equal(given, organs())


def test_an_empty_map_stays_empty():
    assert not without_islands(np.zeros((3, 3, 3), np.int16), 0.5).any()
