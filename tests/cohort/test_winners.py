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


def test_background_wins_where_no_organ_is_above_it():
    assert not winners(torch.zeros(3, 4, 4, 4), (8, 8, 8)).any()
