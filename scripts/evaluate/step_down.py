"""Corrections of several tests for their number, step by step from the smallest p: Holm's, and max-T by sign flips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EXACT = 12  # all 2^n signs are tried for up to this many patients
RESAMPLES = 10_000

Values = NDArray[np.float64]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's step-down correction, in the order given."""
    known = np.array(p_values, float)
    order = np.argsort(known)
    scaled = np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1))
    corrected = np.empty(len(known))
    corrected[order] = np.minimum(scaled, 1)
    return [float(p) for p in corrected]


def max_t(differences: Values) -> list[float | None]:
    """Two-sided p of each organ's mean difference, corrected for the number of organs; None where no patient differs.

    A patient's differences change sign together, which keeps organs as dependent as they are; each p is compared with
    the largest statistic among the organs that are not yet decided (Westfall and Young, Resampling-Based Multiple
    Testing, 1993, algorithm 4.1). The statistic is the sum over the root of the sum of squares: in the order of t
    where all patients have an organ, and no larger by chance in organs that few have. Up to ``EXACT`` patients all
    signs are tried, above that random ones, the same for every call.

    Args:
        differences: (patients, organs), NaN where a patient lacks an organ.
    """
    known = np.nan_to_num(differences)
    length = np.sqrt((known**2).sum(0))
    moved = np.flatnonzero(length > 0)
    scaled = known[:, moved] / length[moved]
    found = np.abs(scaled.sum(0))
    chance = np.abs(_signs(len(scaled)) @ scaled)
    found_at_least = np.empty(len(moved))
    order = np.argsort(found)  # the smallest first: each is compared with itself and all that are smaller
    largest = np.maximum.accumulate(chance[:, order], axis=1)
    found_at_least[order] = (largest >= found[order] - 1e-9).mean(0)
    corrected: list[float | None] = [None] * known.shape[1]
    for organ, p in zip(moved[order][::-1], np.maximum.accumulate(found_at_least[order][::-1]), strict=True):
        corrected[organ] = float(p)
    return corrected


def _signs(patients: int) -> Values:
    """Signs (resamples, patients), the observed ones first; all with the first patient's kept, which suffices."""
    if patients <= EXACT:
        bits = np.arange(2 ** max(patients - 1, 0))[:, None] >> np.arange(patients) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, (RESAMPLES, patients))
        bits[0] = 0
    return np.where(bits, -1.0, 1.0)
