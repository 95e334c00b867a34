"""The scores of all objects fused into one label map, a slab of the volume at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from ..cohort.resampling import blank, common_part, fused_slabs, reach, spread, strongest

AT_THRESHOLD = 0.5  # score of an object at its threshold
Scored = tuple[int, list[int], torch.Tensor]  # an object, the first voxel of a box of the query grid, its scores there


def fuse_labels(
    scores: Sequence[Scored],
    grid: Sequence[int],
    shape: Sequence[int],
    lowest: float,
    certain: float | None,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Object numbers (X, Y, Z) by the highest score, 0 where none is above 1/2; and where they are not certain.

    Args:
        scores: of the objects.
        grid: shape of the query grid.
        shape: of the volume.
        lowest: score below which an object is not looked at: 1/2, or 1 - certain.
        certain: highest scores between 1 - certain and certain are not; None to leave that out.
        device: of the result.
    """
    objects = blank(shape, torch.int16, device)
    unsure = None if certain is None else blank(shape, torch.bool, device)
    for rows in fused_slabs(shape):
        highest = blank(objects[rows].shape, torch.float32, device)
        strongest(_in_rows(rows, scores, grid, shape, lowest), highest, objects[rows])
        if unsure is not None and certain is not None:
            objects[rows].masked_fill_(highest <= AT_THRESHOLD, 0)
            torch.logical_and(highest > lowest, highest < certain, out=unsure[rows])
    return objects, unsure


def _in_rows(
    rows: slice, scores: Iterable[Scored], grid: Sequence[int], shape: Sequence[int], lowest: float
) -> Iterator[tuple[int, tuple[slice, ...], torch.Tensor]]:
    """Each object with scores in rows of X of the volume, its box there, counted from the first of them, and scores."""
    for number, start, part in scores:
        stop = [first + size for first, size in zip(start, part.shape, strict=True)]
        along_x = common_part(reach(start, stop, grid, shape)[0], rows)
        if along_x.start < along_x.stop:
            (_, *others), score = spread(part, start, grid, shape, rows)
            own = slice(along_x.start - rows.start, along_x.stop - rows.start)
            yield number, (own, *others), torch.threshold(score, lowest, 0)


def box_above(score: torch.Tensor, threshold: float, margins: Sequence[int]) -> tuple[slice, ...] | None:
    """The box of scores (X, Y, Z) above a threshold, with a margin; None where there are none.

    A mean of voxels exceeds the threshold only if one of them does, so no voxel outside can be the object's.
    """
    above = score > threshold
    along_x_z = above.any(1)
    shown = [along_x_z.any(1), above.any(0).any(1), along_x_z.any(0)]
    counts = [len(axis) for axis in shown]
    box = []
    for axis, margin in zip(torch.split(torch.cat(shown).cpu(), counts), margins, strict=True):  # waits once
        found = torch.nonzero(axis).flatten().tolist()
        if not found:
            return None
        box.append(slice(max(found[0] - margin, 0), found[-1] + 1 + margin))
    return tuple(box)
