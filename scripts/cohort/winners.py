"""The class with the highest score at each voxel, from scores on a coarser or finer grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from .components import Box, boxes
from .resampling import reach, resample, strongest


def winners(scores: torch.Tensor, shape: Sequence[int], numbers: Sequence[int] | None = None) -> torch.Tensor:
    """Object numbers (X, Y, Z), of a ``shape``, from scores (K + 1, *grid) of background and K organs.

    Scores are interpolated before the highest is taken, so that edges are smooth: organ by organ, each in the box where
    it can win, to save memory. ``numbers`` are the object numbers of the organs, 1, 2, ... unless given.
    """
    numbers = numbers or range(1, len(scores))
    return strongest(_candidates(scores, shape, numbers), resample(scores[:1], shape)[0].clone())


def _candidates(
    scores: torch.Tensor, shape: Sequence[int], numbers: Sequence[int]
) -> Iterator[tuple[int, Box, torch.Tensor]]:
    """Each organ's number, box and scores; one exceeds background's only if it does so at a grid point around."""
    above = (scores[1:] > scores[:1]).cpu().numpy()
    for organ, mask in enumerate(above, start=1):
        (box,) = boxes(mask, 1)
        if box is not None:
            region = reach([ends.start for ends in box], [ends.stop for ends in box], scores.shape[1:], shape)
            yield numbers[organ - 1], region, resample(scores[organ : organ + 1], shape, region)[0]
