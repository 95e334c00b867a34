"""Islands: what is small beside an object's largest part goes, nothing else does."""

import numpy as np
import pytest

from scripts.cohort.islands import without_islands


def organs() -> np.ndarray:
    """Object 2: parts of 27, 8 and 1 voxels. Object 5: two voxels that meet at a corner alone."""
    objects = np.zeros((20, 20, 20), np.int16)
    objects[1:4, 1:4, 1:4] = 2
    objects[8:10, 8:10, 8:10] = 2
    objects[15, 15, 15] = 2
    objects[18, 18, 18] = objects[19, 19, 19] = 5
    return objects


@pytest.mark.parametrize(("smallest", "left"), [(0.01, 36), (0.1, 35), (8 / 27, 35), (0.3, 27), (1.0, 27)])
def test_parts_below_the_share_go(smallest, left):
    kept = without_islands(organs(), smallest)
    assert (kept == 2).sum() == left
    assert (kept == 5).sum() == 2  # equal parts both are the largest
    assert ((kept == organs()) | (kept == 0)).all()


def test_the_given_map_is_left_alone():
    given = organs()
    without_islands(given, 1.0)
    assert np.array_equal(given, organs())


def test_an_empty_map_stays_empty():
    assert not without_islands(np.zeros((3, 3, 3), np.int16), 0.5).any()
