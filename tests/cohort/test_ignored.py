"""Ignored voxels: they add nothing to what is measured."""

import numpy as np

from scripts.cohort.ignored import without_ignored


def test_where_the_ground_truth_is_ignored_both_maps_are_background():
    truth = np.array([0, 1, -1, -1, 2], np.int16)
    prediction = np.array([1, 1, 2, -1, -1], np.int16)
    found = without_ignored(prediction, truth)
    assert [part.tolist() for part in found] == [[1, 1, 0, 0, 0], [0, 1, 0, 0, 2]]
    assert truth.tolist() == [0, 1, -1, -1, 2]
