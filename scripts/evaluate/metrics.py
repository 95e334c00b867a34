"""Metrics of one organ on one scan: overlap, surface distances, volume."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.utils import get_edge_surface_distance
from numpy.typing import NDArray
from scipy import ndimage

QUANTILE = 0.95  # of the Hausdorff distance

Mask = NDArray[np.bool_]
warnings.filterwarnings("ignore", message=".*always_return_as_numpy.*")  # MONAI's own call of its own function


@dataclass(frozen=True)
class Metric:
    """A metric of an organ that is present.

    Args:
        name: its name in the table of rows.
        title: its name in figures and tables.
        unit: its unit, empty for a share.
        higher: whether higher is better.
        worst: the value of a missed organ; None for the diagonal of the scan.
    """

    name: str
    title: str
    unit: str = ""
    higher: bool = True
    worst: float | None = 0.0

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.higher else -1


METRICS = (
    Metric("dice", "Dice"),
    Metric("iou", "IoU"),
    Metric("nsd", "NSD"),
    Metric("hd95", "HD95", "mm", higher=False, worst=None),
    Metric("assd", "ASSD", "mm", higher=False, worst=None),
)
BY_NAME = {metric.name: metric for metric in METRICS}
MISSED, FALSE_POSITIVE, VOLUME = "missed", "false_positive_ml", "volume_ml"
INTERSECTION, UNION = "intersection_ml", "union_ml"  # of prediction and ground truth


def measure_organ(
    prediction: Mask, truth: Mask, spacing: Sequence[float], tolerance: float, diagonal: float
) -> dict[str, float]:
    """Every metric of one organ on one scan.

    An organ that is present but missed gets the worst value of each metric (0; the diagonal of the scan for distances)
    and a ``missed`` of 1. An absent organ has no overlap to measure: what was predicted of it is reported as
    ``false_positive_ml``. Volumes, also of intersection and union, are in mL and distances in mm; NSD is the share of
    both surfaces that lies within ``tolerance`` of the other (arXiv 1809.04430). Surfaces are voxels with a neighbour
    outside, as in MONAI.

    Args:
        prediction: (X, Y, Z), or (X, Y) of an image; a box that holds both masks is enough.
        truth: the ground truth, of the same shape.
        spacing: mm along each axis.
        tolerance: of NSD, mm.
        diagonal: of the whole scan, mm.
    """
    voxel = float(np.prod(spacing)) / 1000
    both, either = float((prediction & truth).sum()), float((prediction | truth).sum())
    volumes = {VOLUME: float(prediction.sum()) * voxel, INTERSECTION: both * voxel, UNION: either * voxel}
    if not truth.any():
        return volumes | {FALSE_POSITIVE: volumes[VOLUME]}
    if not prediction.any():
        worst = {metric.name: diagonal if metric.worst is None else metric.worst for metric in METRICS}
        return volumes | worst | {MISSED: 1.0}
    overlap = {"dice": 2 * both / (both + either), "iou": both / either}
    return volumes | overlap | surface_metrics(prediction, truth, spacing, tolerance) | {MISSED: 0.0}


def surface_metrics(prediction: Mask, truth: Mask, spacing: Sequence[float], tolerance: float) -> dict[str, float]:
    """NSD, HD95 (mm) and ASSD (mm) of two masks that are not empty, from one pass over both surfaces.

    Masks of a single slice are measured as areas, by their outlines.
    """
    if prediction.ndim == 3 and prediction.shape[2] == 1:
        prediction, truth, spacing = prediction[..., 0], truth[..., 0], spacing[:2]
    (box,) = ndimage.find_objects((prediction | truth).astype(np.uint8))
    masks = [torch.from_numpy(mask[box]) for mask in (prediction, truth)]
    sizes = [float(size) for size in spacing]  # MONAI refuses mixed types
    _, distances, _ = get_edge_surface_distance(masks[0], masks[1], spacing=sizes, symmetric=True)
    there, back = (distance.numpy() for distance in distances)
    both_ways = np.concatenate([there, back])
    return {
        "nsd": float((both_ways <= np.float32(tolerance)).mean()),
        "hd95": float(max(np.quantile(there, QUANTILE), np.quantile(back, QUANTILE))),
        "assd": float(both_ways.mean(dtype=np.float64)),
    }
