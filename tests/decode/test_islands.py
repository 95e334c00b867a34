"""Islands: what is small beside an organ's largest part goes, nothing else does."""

import numpy as np
import pytest
import torch

from scripts.decode.islands import RemoveIslands, without_islands


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


@pytest.mark.parametrize("smallest", [0.0, 1.0])
def test_a_prediction_is_changed_and_the_rest_stays(smallest):
    data = {"case": "a", "pred": torch.from_numpy(organs()[None])}
    done = RemoveIslands(smallest)(data)
    assert done["case"] == "a"
    assert done["pred"].shape == data["pred"].shape
    assert int((done["pred"] > 0).sum()) == (38 if not smallest else 29)


def test_an_empty_map_stays_empty():
    assert not without_islands(np.zeros((3, 3, 3), np.int16), 0.5).any()
