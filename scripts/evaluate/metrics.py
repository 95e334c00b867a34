"""Metrics of one organ on one scan: overlap, surface distances, volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .surfaces import AREA, Mask, surface_metrics


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
    prediction: Mask,
    truth: Mask,
    spacing: Sequence[float],
    tolerance: float,
    diagonal: float,
    known: Mask | None = None,
    nsd: str = AREA,
    voxel: float | None = None,
) -> dict[str, float]:
    """Every metric of one organ on one scan.

    An organ that is present but missed gets the worst value of each metric (0; the diagonal of the scan for distances)
    and a ``missed`` of 1. An absent organ has no overlap to measure: what was predicted of it is reported as
    ``false_positive_ml``. Volumes, also of intersection and union, are in mL and distances in mm; for surfaces see
    ``surface_metrics``. Voxels that the ground truth ignores add nothing to any of them.

    Args:
        prediction: (X, Y, Z), or (X, Y) of an image; a box that holds both masks is enough.
        truth: the ground truth, of the same shape.
        spacing: mm along each axis.
        tolerance: of NSD, mm.
        diagonal: of the whole scan, mm.
        known: where the ground truth is not ignored; None for everywhere.
        nsd: what NSD counts, "area" of the surfaces or "edges": their voxels.
        voxel: mm3 of a voxel; None where axes are at right angles, as surfaces and distances take them to be.
    """
    drawn = prediction  # also where it is ignored: surfaces come first
    if known is not None:
        prediction = prediction & known
    voxel = (float(np.prod(spacing)) if voxel is None else voxel) / 1000
    both, either = float((prediction & truth).sum()), float((prediction | truth).sum())
    volumes = {VOLUME: float(prediction.sum()) * voxel, INTERSECTION: both * voxel, UNION: either * voxel}
    if not truth.any():
        return volumes | {FALSE_POSITIVE: volumes[VOLUME]}
    if not prediction.any():
        worst = {metric.name: diagonal if metric.worst is None else metric.worst for metric in METRICS}
        return volumes | worst | {MISSED: 1.0}
    overlap = {"dice": 2 * both / (both + either), "iou": both / either}
    return volumes | overlap | surface_metrics(drawn, truth, spacing, tolerance, known, nsd) | {MISSED: 0.0}
