"""Platt scaling of one object, and its decision, from logits counted over voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from .calibration import Scale

BINS, LARGEST_LOGIT = 400, 20.0  # of the histograms of logits; larger logits count as the largest
PRIOR = 1.0  # weight, in voxels, of the prior that a logit needs no scaling
FIT_BOUNDS = (0.05, 20.0), (-10.0, 10.0)  # of slope and offset
LOGIT_EDGES = np.linspace(-LARGEST_LOGIT, LARGEST_LOGIT, BINS + 1)
LOGIT_CENTRES = (LOGIT_EDGES[1:] + LOGIT_EDGES[:-1]) / 2
DICE_TOLERANCE = 0.01  # Dice a decision may lose to stay nearer to the network's own


def fit_scale(counts: NDArray[np.number]) -> Scale:
    """Platt scaling (1999) of one object, and its decision.

    The decision is the one nearest to the network's own (logit 0) whose Dice over all voxels is within 0.01 of the
    best: a probability of 1/2 is not where Dice is best (Lipton et al., arXiv 1402.1892), but small gains are luck.

    Args:
        counts: (2, bins) voxels outside and inside the object by logit, from -20 to 20.
    """
    edges = np.linspace(-LARGEST_LOGIT, LARGEST_LOGIT, counts.shape[1] + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    outside, inside = np.asarray(counts, float)
    if not inside.sum() or not outside.sum():
        return Scale()

    slope, offset = _platt(centres, outside, inside)
    hits = np.append(inside[::-1].cumsum()[::-1], 0)
    predicted = np.append(counts.sum(0)[::-1].cumsum()[::-1], 0)
    dice = 2 * hits / (predicted + inside.sum())
    good = edges[dice >= dice.max() - DICE_TOLERANCE]
    return Scale.from_decision(slope, offset, float(good[np.abs(good).argmin()]))


def _platt(
    logits: NDArray[np.floating], outside: NDArray[np.floating], inside: NDArray[np.floating]
) -> tuple[float, float]:
    """Slope and offset of the highest posterior, under normal priors around 1 and 0."""
    columns = np.stack([logits, np.ones_like(logits)])
    neutral, voxels = np.array([1.0, 0.0]), outside.sum() + inside.sum()

    def loss(scale: NDArray[np.floating]) -> tuple[float, NDArray[np.floating]]:
        scaled = scale @ columns
        likelihood = (inside * np.logaddexp(0, -scaled) + outside * np.logaddexp(0, scaled)).sum()
        gradient = columns @ (outside * expit(scaled) - inside * expit(-scaled)) + 2 * PRIOR * (scale - neutral)
        return (likelihood + PRIOR * ((scale - neutral) ** 2).sum()) / voxels, gradient / voxels

    found = minimize(loss, neutral, jac=True, method="L-BFGS-B", bounds=FIT_BOUNDS, options={"ftol": 0, "gtol": 1e-12})
    slope, offset = found.x.tolist()
    return slope, offset
