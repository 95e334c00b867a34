"""Resampling of intensities, scores and maps of objects between grids over the same field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch.nn import functional

RESAMPLING = 2  # of what is made of resampled volumes: incremented whenever the same volume is resampled otherwise
SLAB_VOXELS = 1 << 20  # voxels of a volume transformed at once
FUSED_VOXELS = 1 << 24  # of which objects are fused at once: 64 MiB of scores
ROUNDING = 1e-9  # share of a voxel below which it is not touched
LINE = 8  # trailing voxels from which an axis is summed by embedding_bag instead of a matrix product


def working_shape(shape: Sequence[int], size: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """Shape (X, Y, Z) of a grid over the same field with voxels of ``target`` mm; 0 keeps an axis as it is."""
    return tuple(
        max(1, round(count * old / new)) if new else count for count, old, new in zip(shape, size, target, strict=True)
    )


def resample(
    volume: torch.Tensor,
    shape: Sequence[int],
    box: Sequence[slice] | None = None,
    change: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Intensities or scores (C, X, Y, Z) on a grid of another shape over the same field.

    Axes that shrink are averaged, so that fine structure does not alias: each voxel counts by the share of it that lies
    in the new one. (Averages of all voxels that are touched, as torch's adaptive_avg_pool3d takes them, shift edges by
    up to half a voxel where sizes are alike.) Axes that grow are interpolated linearly.

    Args:
        volume: of any numeric type.
        shape: of the grid.
        box: slices of the grid to compute, None for all of it; only the part of the volume they need is read.
        change: voxelwise function applied to that part of the volume first.
    """
    parts = [slice(0, new) for new in shape] if box is None else box
    sums = [_sums(old, new)[:, part] for old, new, part in zip(volume.shape[1:], shape, parts, strict=True)]
    if 0 in (part.shape[1] for part in sums):
        return volume.new_zeros(volume.shape[0], *(part.shape[1] for part in sums), dtype=torch.float32)
    for axis, terms in enumerate(sums, start=1):
        first = int(terms[0].min())
        volume = volume.narrow(axis, first, int(terms[0].max()) + 1 - first)
        terms[0] -= first
    axes = sorted(range(3), key=lambda axis: sums[axis].shape[1] / volume.shape[axis + 1])  # the smallest first
    if change is not None:  # slab by slab, to stay in the cache
        axes = [axis for axis in axes if axis != 1]
        planes = max(1, SLAB_VOXELS // max(volume[0, 0].numel(), 1))
        weighed = volume.new_empty(*volume.shape[:2], sums[1].shape[1], volume.shape[3], dtype=torch.float32)
        for slab, part in zip(*(torch.split(whole, planes, 1) for whole in (volume, weighed)), strict=True):
            part.copy_(_weigh(change(slab), 2, sums[1]))
        volume = weighed
    for axis in axes:
        volume = _weigh(volume, axis + 1, sums[axis])
    return volume.float()


def spread(
    part: torch.Tensor, start: Sequence[int], grid: Sequence[int], shape: Sequence[int], rows: slice | None = None
) -> tuple[tuple[slice, ...], torch.Tensor]:
    """Resample a box of scores, with 0 everywhere else, onto another grid over the same field.

    Args:
        part: scores (X, Y, Z) of the box; everywhere else on the grid they are 0.
        start: the box's first voxel on the grid.
        grid: shape of the grid.
        shape: of the other one.
        rows: of its X that are wanted; None for all.

    Returns:
        the box of the other grid that has any weight in it, or of its rows, and the scores there.
    """
    boxes = []
    for axis in range(3):
        first, last = start[axis], start[axis] + part.shape[axis]
        index, weight = _sums(grid[axis], shape[axis])
        inside = (index >= first) & (index < last)
        box = _reached((index, weight), first, last)
        if axis == 0 and rows is not None:
            box = common_part(box, rows)
        part = _weigh(part, axis, torch.stack([(index - first).clamp(0, last - first - 1), weight * inside])[:, box])
        boxes.append(box)
    return tuple(boxes), part


def reach(start: Sequence[int], stop: Sequence[int], grid: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """The box of another grid in which the box ``start`` to ``stop`` (exclusive) of a grid has any weight."""
    places = zip(start, stop, grid, shape, strict=True)
    return tuple(_reached(_sums(old, new), first, last) for first, last, old, new in places)


def resample_objects(objects: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A map of object numbers (X, Y, Z) on a grid of another shape over the same field, nearest neighbour."""
    for axis, new in enumerate(shape):
        old = objects.shape[axis]
        if new != old:
            nearest = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new)).long().clamp_max(old - 1)
            objects = objects.index_select(axis, nearest.to(objects.device))
    return objects


def _sums(old: int, new: int) -> torch.Tensor:
    """Indices and weights (2, new, terms) of the voxels of an axis that are summed for each voxel of the new axis."""
    place = torch.arange(new, dtype=torch.float64)
    if new <= old:  # the mean over its part of the old axis
        start, end = place[:, None] * old / new, (place[:, None] + 1) * old / new
        index = start.floor() + torch.arange(int((end.ceil() - start.floor()).max()))
        inside = torch.minimum(end, index + 1) - torch.maximum(start, index)
        inside = torch.where(inside > ROUNDING, inside, 0)
        return torch.stack([index.clamp_max(old - 1), inside / inside.sum(1, keepdim=True)])
    where = ((place + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    low = where.floor()
    return torch.stack(
        [torch.stack([low, (low + 1).clamp_max(old - 1)], 1), torch.stack([1 + low - where, where - low], 1)]
    )


def _reached(sums: Iterable[torch.Tensor], first: int, last: int) -> slice:
    """The voxels of a new axis with any weight in voxels ``first`` to ``last`` (exclusive) of the old one."""
    index, weight = sums
    some = ((index >= first) & (index < last) & (weight > 0)).any(1)
    found = torch.nonzero(some).flatten().tolist()
    return slice(found[0], found[-1] + 1) if found else slice(0, 0)


def _weigh(volume: torch.Tensor, axis: int, sums: torch.Tensor) -> torch.Tensor:
    """An axis of a volume replaced by weighted sums along it."""
    index, weight = sums[0].long().to(volume.device), sums[1].to(volume.device, torch.float32)
    new, terms = index.shape
    if terms == 1:  # the same voxels
        return volume.narrow(axis, int(sums[0, 0, 0]) if new else 0, new)
    before, after = volume.shape[:axis], volume.shape[axis + 1 :]
    if after.numel() < LINE:
        size = volume.shape[axis]
        matrix = weight.new_zeros(size, new).scatter_add_(0, index.T, weight.T)
        lines = volume.float().movedim(axis, -1).reshape(-1, size)
        summed = torch.mm(lines, matrix, out=lines.new_empty(len(lines), new))  # `out`: float32 under autocast too
        return summed.view(*before, *after, new).movedim(-1, axis)
    lines = torch.arange(before.numel(), device=volume.device).view(-1, 1, 1) * volume.shape[axis] + index
    table = volume.float().reshape(-1, after.numel())
    bags = lines.view(-1, terms), table, weight.repeat(before.numel(), 1)
    summed = functional.embedding_bag(bags[0], bags[1], mode="sum", per_sample_weights=bags[2])
    return summed.view(*before, new, *after)


def fused_slabs(shape: Sequence[int]) -> list[slice]:
    """Rows of X of a volume (X, Y, Z) in slabs of at most ``FUSED_VOXELS`` voxels, one at least."""
    most = max(1, FUSED_VOXELS // max(1, math.prod(shape[1:])))
    return [slice(first, min(first + most, shape[0])) for first in range(0, shape[0], most)]


def common_part(one: slice, other: slice) -> slice:
    """The voxels of an axis that lie in both of two ranges, which may be none."""
    first = max(one.start, other.start)
    return slice(first, max(first, min(one.stop, other.stop)))


def strongest(
    scores: Iterable[tuple[int, tuple[slice, ...], torch.Tensor]], floor: torch.Tensor, winner: torch.Tensor
) -> None:
    """Which of several scores is the highest at each voxel, taken one at a time to save memory.

    Args:
        scores: object numbers, the boxes they are scored in, and their scores there.
        floor: score of background (X, Y, Z); becomes the highest score.
        winner: object numbers (X, Y, Z), 0 before; stays so where no score is above the floor.
    """
    for number, box, score in scores:
        higher = score > floor[box]
        winner[box].masked_fill_(higher, number)
        torch.maximum(floor[box], score, out=floor[box])


def blank(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros of a shape, of which a CPU's memory holds only the pages that are written to.

    So objects that lie in a part of a volume take the memory of that part.
    """
    if device.type != "cpu":
        return torch.zeros(tuple(shape), dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(tuple(shape), str(dtype).removeprefix("torch.")))
