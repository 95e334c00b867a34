"""Surface metrics of two masks: surfaces of the whole masks first, then without what lies at ignored voxels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics.utils import get_mask_edges, get_surface_distance
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import one_of

QUANTILE = 0.95  # of the Hausdorff distance
AREA, EDGES = "area", "edges"  # what NSD counts: the area of surface elements, or voxels at the surface
NSD_COUNTS = (AREA, EDGES)

Mask = NDArray[np.bool_]
warnings.filterwarnings("ignore", message=".*always_return_as_numpy.*")  # MONAI's own call of its own function


def surface_metrics(
    prediction: Mask,
    truth: Mask,
    spacing: Sequence[float],
    tolerance: float,
    known: Mask | None = None,
    nsd: str = AREA,
) -> dict[str, float]:
    """NSD, HD95 (mm) and ASSD (mm) of two masks that are not empty.

    HD95 and ASSD are of voxels with a neighbour outside, as in MONAI. NSD is the share of both surfaces within
    ``tolerance`` of the other (arXiv 1809.04430): by the area of the surface elements between voxels, as in its
    authors' ``surface-distance``, or by voxels with a neighbour outside. Masks of one slice, along whichever axis, are
    measured by their outlines.

    Where the ground truth is ignored it has no surface, and that of the prediction is not asked for; but the prediction
    is not cut there, so that no surface arises that both masks would share.

    Args:
        prediction: (X, Y, Z), or (X, Y) of an image.
        truth: the ground truth, of the same shape; False where it is ignored.
        spacing: mm along each axis.
        tolerance: of NSD, mm.
        known: where the ground truth is not ignored; None for everywhere.
        nsd: "area" or "edges".

    Raises:
        SemclError: for another ``nsd``.
    """
    one_of("nsd", nsd, NSD_COUNTS)
    prediction, truth, known, sizes = _framed(prediction, truth, known, spacing)
    edges = _edges(prediction, known, cut=False), _edges(truth, known, cut=True)
    there, back = _distances(*edges, sizes), _distances(*edges[::-1], sizes)
    both_ways = np.concatenate([there, back])
    counted, measured = edges, (there, back)
    if nsd == AREA:
        counted = _elements(prediction, truth, known, sizes)
        measured = _distances(*counted, sizes), _distances(*counted[::-1], sizes)
    weights = np.concatenate([surface.areas[surface.asked] for surface in counted])
    within = np.concatenate(measured) <= np.float32(tolerance)
    return {
        "nsd": float(weights[within].sum() / weights.sum()),
        "hd95": float(max(np.quantile(part, QUANTILE) for part in (there, back) if len(part))),
        "assd": float(both_ways.mean(dtype=np.float64)),
    }


@dataclass(frozen=True)
class Surface:
    """A surface on a grid: where it is, the part whose distances are asked for, and what each cell counts."""

    whole: Mask
    asked: Mask
    areas: NDArray[np.floating]


def _framed(
    prediction: Mask, truth: Mask, known: Mask | None, spacing: Sequence[float]
) -> tuple[Mask, Mask, Mask, list[float]]:
    """The box of both masks with the voxels around it, without an axis of one slice, and the sizes of its voxels."""
    (box,) = ndimage.find_objects((prediction | truth).astype(np.uint8))
    parts = prediction, truth, np.ones_like(truth) if known is None else known
    framed = [np.pad(part, 1, constant_values=number == 2)[_with_frame(box)] for number, part in enumerate(parts)]
    sizes = [float(size) for size in spacing]  # MONAI refuses mixed types
    single = [axis for axis, side in enumerate(box) if side.stop - side.start == 1]
    if len(box) == 3 and single:
        framed = [part.take(1, axis=single[-1]) for part in framed]
        del sizes[single[-1]]
    return framed[0], framed[1], framed[2], sizes


def _with_frame(box: Sequence[slice]) -> tuple[slice, ...]:
    """A box and the voxels around it, in an array that a frame was added to."""
    return tuple(slice(side.start, side.stop + 2) for side in box)


def _edges(mask: Mask, known: Mask, cut: bool) -> Surface:
    """The voxels of a mask with a neighbour outside, asked where both are known; with ``cut`` there are no others."""
    edges = mask & ndimage.binary_dilation(~mask)
    clear = mask & known & ndimage.binary_dilation(~mask & known)
    if cut and clear.any():  # otherwise all that is around it is ignored
        edges = clear
    return Surface(edges, edges & clear if clear.any() else edges & known, np.ones(mask.shape))


def _elements(prediction: Mask, truth: Mask, known: Mask, sizes: Sequence[float]) -> tuple[Surface, Surface]:
    """The surface elements between voxels; those of the ground truth only where all voxels around are known."""
    pair = torch.from_numpy(prediction), torch.from_numpy(truth)
    found: Any = get_mask_edges(*pair, crop=False, spacing=list(sizes))
    of_prediction, of_truth, *areas = (part.numpy() for part in found)
    clear = ndimage.minimum_filter(known, size=2, origin=-1)[(slice(-1),) * known.ndim]
    trusted = of_truth & clear if (of_truth & clear).any() else of_truth
    return Surface(of_prediction, of_prediction & clear, areas[0]), Surface(trusted, trusted, areas[1])


def _distances(one: Surface, other: Surface, sizes: Sequence[float]) -> NDArray[np.float32]:
    """Distances (mm) of the asked part of one surface from all of another."""
    if not one.asked.any():
        return np.empty(0, np.float32)
    found: NDArray[np.float32] = np.asarray(get_surface_distance(one.asked, other.whole, spacing=list(sizes)))
    return found
