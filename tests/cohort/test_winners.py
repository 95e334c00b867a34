"""The class with the highest interpolated score."""

import numpy as np
import pytest
import torch

from scripts.cohort.resampling import resample
from scripts.cohort.winners import winners


@pytest.mark.parametrize("shape", [(8, 6, 4), (16, 12, 4), (5, 9, 3), (4, 3, 8)])
def test_it_is_the_argmax_of_the_interpolated_scores(shape):
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 8, 6, 4))).float()
    before = scores.clone()
    assert torch.equal(winners(scores, shape).long(), resample(scores, shape).argmax(0))
    assert torch.equal(scores, before)


@pytest.mark.parametrize("shape", [(16, 12, 4), (5, 9, 3)])
@pytest.mark.parametrize("rows", [1, 3])
def test_slabs_make_what_the_whole_volume_would(shape, rows, monkeypatch):
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 8, 6, 4))).float()
    whole = winners(scores, shape, [4, 1, 3, 2])
    monkeypatch.setattr("scripts.cohort.resampling.FUSED_VOXELS", rows * shape[1] * shape[2])
    assert torch.equal(winners(scores, shape, [4, 1, 3, 2]), whole)
    assert len(whole.unique()) > 3


def test_background_wins_where_no_organ_is_above_it():
    assert not winners(torch.zeros(3, 4, 4, 4), (8, 8, 8)).any()
