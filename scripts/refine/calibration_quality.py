"""How well probabilities agree with what is seen: reliability, expected calibration error and Brier score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .calibration import QUALITY_KINDS, Scale
from .platt import fit_scale

RELIABILITY_BINS = 10  # equally wide, of predicted probabilities
Counts = NDArray[np.number]


def quality(counts: Counts, probabilities: NDArray[np.floating]) -> dict[str, Any]:
    """Expected calibration error (ECE), Brier score and reliability of probabilities.

    ECE is the mean over voxels of the distance between the mean predicted probability of a bin and the observed
    frequency (Guo et al., arXiv 1706.04599), as MONAI's ``CalibrationErrorMetric`` has it for voxels one by one; Brier
    the mean squared error.

    Args:
        counts: (2, bins) voxels outside and inside the object.
        probabilities: (bins,) the probability of the object in each bin.

    Returns:
        "ece", "brier", and "reliability": rows of predicted probability, observed frequency and voxels, of bins with
        voxels. Empty without voxels.
    """
    outside, inside = np.asarray(counts, float)
    voxels = float((outside + inside).sum())
    if not voxels:
        return {}
    brier = float((inside * (1 - probabilities) ** 2 + outside * probabilities**2).sum() / voxels)
    return {**_reliability(probabilities, outside + inside, inside), "brier": brier}


def _reliability(
    probabilities: NDArray[np.floating], voxels: NDArray[np.floating], inside: NDArray[np.floating]
) -> dict[str, Any]:
    """ECE and reliability of voxels with these probabilities, of which so many are inside the object."""
    at = np.minimum((probabilities * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    predicted, observed, counts = (
        np.bincount(at, weights, RELIABILITY_BINS) for weights in (probabilities * voxels, inside, voxels)
    )
    held = counts > 0
    means = np.stack([predicted[held] / counts[held], observed[held] / counts[held], counts[held]], axis=1)
    return {
        "ece": float(np.abs(predicted - observed).sum() / counts.sum()),
        "reliability": means.round(6).tolist(),
    }


def organ_quality(halves: Counts, scales: Sequence[Scale], centres: NDArray[np.floating]) -> dict[str, Any]:
    """Quality of the network's own probabilities and of calibrated ones, each judged on voxels it was not fitted to.

    Args:
        halves: (2, 2, bins) counts of logits of different patients.
        scales: for each half the calibration that was fitted to the other.
        centres: (bins,) logits.
    """
    logits = torch.from_numpy(centres)
    own = quality(halves.sum(0), torch.sigmoid(logits).numpy())
    calibrated = [_probability(scale, logits) for scale in scales]
    return {"raw": own, "calibrated": quality(np.concatenate(list(halves), axis=1), np.concatenate(calibrated))}


def calibration_quality(counts: Counts, names: Sequence[str], centres: NDArray[np.floating]) -> dict[str, Any]:
    """The quality of each organ's probabilities by its name, and under "all organs" that of all together.

    Calibrated probabilities are those of half the patients under the calibration that was fitted to the other half.

    Args:
        counts: (2, K + 1, 2, bins) voxels of two halves of the patients, by object, outside or inside, and logit.
        names: of the objects 1..K.
        centres: (bins,) logits.
    """
    scales = {number: [fit_scale(counts[1 - half, number]) for half in range(2)] for number in range(1, len(names) + 1)}
    found = {name: organ_quality(counts[:, number], scales[number], centres) for number, name in enumerate(names, 1)}
    logits = torch.from_numpy(centres)
    cells = [(half, number) for number in scales for half in range(2)]
    together = quality(
        np.concatenate([counts[half, number] for half, number in cells], axis=1),
        np.concatenate([_probability(scales[number][half], logits) for half, number in cells]),
    )
    raw = quality(counts[:, 1:].sum((0, 1)), torch.sigmoid(logits).numpy())
    return {"all organs": {"raw": raw, "calibrated": together}, **found}


def merged_quality(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The quality over the voxels of several calibrations, each as ``calibration_quality`` has it."""
    organs = dict.fromkeys(organ for part in parts for organ in part)
    return {
        organ: {
            kind: _merged([part[organ][kind] for part in parts if part.get(organ, {}).get(kind)])
            for kind in QUALITY_KINDS
        }
        for organ in organs
    }


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not parts:
        return {}
    rows = np.concatenate([np.array(part["reliability"]) for part in parts])
    sizes = [sum(row[2] for row in part["reliability"]) for part in parts]
    return {
        **_reliability(rows[:, 0], rows[:, 2], rows[:, 1] * rows[:, 2]),
        "brier": float(np.average([part["brier"] for part in parts], weights=sizes)),
    }


def _probability(scale: Scale, logits: torch.Tensor) -> NDArray[np.float64]:
    return torch.sigmoid(scale.slope * logits + scale.offset).numpy()
