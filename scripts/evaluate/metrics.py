"""What is measured of an organ drawn on a scan: overlap, surfaces, volume."""

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
    """A figure of an organ that is there: its name in the table of rows, its title, its unit, and which way is better.

    ``worst`` is what a missed organ gets; None for the diagonal of the scan.
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
INTERSECTION, UNION = "intersection_ml", "union_ml"  # of what is drawn and the truth


def measure_organ(
    drawn: Mask, truth: Mask, spacing: Sequence[float], tolerance: float, diagonal: float
) -> dict[str, float]:
    """Every figure of one organ on one scan.

    An organ that is there and was missed gets the worst value of each metric (0, for distances the diagonal of the
    scan) and a ``missed`` of 1. One that is not there has no overlap to measure: what was drawn is told as
    ``false_positive_ml``. Volumes, also of intersection and union, are in mL, distances in mm, NSD is the share of both
    surfaces that lies within ``tolerance`` of the other (arXiv 1809.04430). Surfaces are voxels with a neighbour
    outside, as MONAI has them.

    Args:
        drawn: (X, Y, Z), or (X, Y) of an image; a box that holds both masks is enough.
        truth: of the same shape.
        spacing: mm along each axis.
        tolerance: mm.
        diagonal: of the whole scan, mm.
    """
    voxel = float(np.prod(spacing)) / 1000
    both, either = float((drawn & truth).sum()), float((drawn | truth).sum())
    found = {VOLUME: float(drawn.sum()) * voxel, INTERSECTION: both * voxel, UNION: either * voxel}
    if not truth.any():
        return found | {FALSE_POSITIVE: found[VOLUME]}
    if not drawn.any():
        worst = {metric.name: diagonal if metric.worst is None else metric.worst for metric in METRICS}
        return found | worst | {MISSED: 1.0}
    overlap = {"dice": 2 * both / (both + either), "iou": both / either}
    return found | overlap | surfaces(drawn, truth, spacing, tolerance) | {MISSED: 0.0}


def surfaces(drawn: Mask, truth: Mask, spacing: Sequence[float], tolerance: float) -> dict[str, float]:
    """NSD, HD95 (mm) and ASSD (mm) of two masks that are not empty, from one pass over both surfaces.

    Masks of a single slice are measured as areas, by their outlines.
    """
    if drawn.ndim == 3 and drawn.shape[2] == 1:
        drawn, truth, spacing = drawn[..., 0], truth[..., 0], spacing[:2]
    (box,) = ndimage.find_objects((drawn | truth).astype(np.uint8))
    parts = [torch.from_numpy(mask[box]) for mask in (drawn, truth)]
    sizes = [float(size) for size in spacing]  # of one type, or MONAI refuses them
    _, distances, _ = get_edge_surface_distance(parts[0], parts[1], spacing=sizes, symmetric=True)
    there, back = (one.numpy() for one in distances)
    everything = np.concatenate([there, back])
    return {
        "nsd": float((everything <= np.float32(tolerance)).mean()),
        "hd95": float(max(np.quantile(there, QUANTILE), np.quantile(back, QUANTILE))),
        "assd": float(everything.mean(dtype=np.float64)),
    }
