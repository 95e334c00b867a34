"""The class with the highest score at each voxel, from scores on a coarser or finer grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from .components import Box, boxes
from .resampling import blank, common_part, fused_slabs, reach, resample, strongest


def winners(scores: torch.Tensor, shape: Sequence[int], numbers: Sequence[int] | None = None) -> torch.Tensor:
    """Object numbers (X, Y, Z), of a ``shape``, from scores (K + 1, *grid) of background and K organs.

    Scores are interpolated before the highest is taken, so that edges are smooth: organ by organ, each in the box where
    it can win, to save memory. ``numbers`` are the object numbers of the organs, 1, 2, ... unless given.
    """
    numbers, won = numbers or range(1, len(scores)), blank(shape, torch.int16, scores.device)
    regions = _regions(scores, shape)
    for rows in fused_slabs(shape):
        (floor,) = resample(scores[:1], shape, (rows, *(slice(0, size) for size in shape[1:])))
        strongest(_candidates(rows, scores, shape, numbers, regions), floor.clone(), won[rows])
    return won


def _regions(scores: torch.Tensor, shape: Sequence[int]) -> list[Box | None]:
    """Each organ's box; its interpolated score exceeds background's only if it does so at a grid point around."""
    above = (scores[1:] > scores[:1]).cpu().numpy()
    found = [boxes(mask, 1)[0] for mask in above]
    return [
        box and reach([ends.start for ends in box], [ends.stop for ends in box], scores.shape[1:], shape)
        for box in found
    ]


def _candidates(
    rows: slice, scores: torch.Tensor, shape: Sequence[int], numbers: Sequence[int], regions: Sequence[Box | None]
) -> Iterator[tuple[int, Box, torch.Tensor]]:
    """Each organ's number, box in rows of X, counted from the first of them, and scores there."""
    for organ, region in enumerate(regions, start=1):
        along_x = slice(0, 0) if region is None else common_part(region[0], rows)
        if region is not None and along_x.start < along_x.stop:
            own = slice(along_x.start - rows.start, along_x.stop - rows.start)
            (score,) = resample(scores[organ : organ + 1], shape, (along_x, *region[1:]))
            yield numbers[organ - 1], (own, *region[1:]), score
