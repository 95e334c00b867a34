"""Ignored voxels in the evaluation of label maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def without_ignored(
    prediction: NDArray[np.int16], truth: NDArray[np.int16]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Prediction and ground truth, maps of object numbers, with background wherever the ground truth is ignored.

    Such voxels then count towards no overlap, and surfaces end at them in both maps alike. Voxels that are ignored in
    the prediction become background too.
    """
    known = truth >= 0
    if not known.all():
        prediction, truth = np.where(known, prediction, 0), np.where(known, truth, 0)
    return np.maximum(prediction, 0), truth
