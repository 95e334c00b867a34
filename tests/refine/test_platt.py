"""Platt scaling in short; tests/refine/test_calibration_fit.py has the comparisons with independent optimisers."""

import numpy as np

from scripts.refine.calibration import Scale
from scripts.refine.platt import BINS, LOGIT_CENTRES, LOGIT_EDGES, fit_scale


def test_bins_lie_around_their_centres() -> None:
    assert len(LOGIT_EDGES) == BINS + 1
    assert np.allclose((LOGIT_EDGES[1:] + LOGIT_EDGES[:-1]) / 2, LOGIT_CENTRES)


def test_an_object_that_is_everywhere_or_nowhere_is_not_scaled() -> None:
    counts = np.zeros((2, BINS))
    counts[1] = 1
    assert fit_scale(counts) == fit_scale(counts[::-1]) == Scale()


def test_logits_that_are_too_small_get_a_steeper_slope() -> None:
    true = 1 / (1 + np.exp(-3 * LOGIT_CENTRES))
    assert abs(fit_scale(1000 * np.stack([1 - true, true])).slope - 3) < 0.05
