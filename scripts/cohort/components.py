"""Where the objects of a map lie, and which of their voxels hang together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, ...]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def boxes(objects: NDArray[np.integer], count: int | None = None) -> list[Box | None]:
    """The smallest box of each object 1, 2, ... of a map (X, Y, Z); None for those that are not there.

    Args:
        objects: object numbers, 0 is background.
        count: the last object that is asked for; None for the largest number there is.
    """
    begins = np.ones(objects.shape, bool)  # runs of one number along the last axis
    np.not_equal(objects[..., 1:], objects[..., :-1], out=begins[..., 1:])
    where = np.flatnonzero(begins)
    numbers = objects.ravel()[where].astype(np.int64)
    shown = numbers > 0
    ends = np.append(where[1:], objects.size)[shown] - 1
    where, numbers = where[shown], numbers[shown]
    last = int(numbers.max(initial=0)) if count is None else count
    lower = np.stack(np.unravel_index(where, objects.shape), 1)
    upper = np.stack(np.unravel_index(ends, objects.shape), 1)
    low = np.full((max(last, int(numbers.max(initial=0))) + 1, objects.ndim), max(objects.shape))
    high = np.full_like(low, -1)
    np.minimum.at(low, numbers, lower)
    np.maximum.at(high, numbers, upper)
    found = zip(low[1 : last + 1].tolist(), (high[1 : last + 1] + 1).tolist(), strict=True)
    return [tuple(map(slice, start, stop)) if any(stop) else None for start, stop in found]


def parts(mask: NDArray[np.bool_], corners: bool = False) -> tuple[NDArray[np.int64], int]:
    """Number the parts of a mask (X, Y, Z) that hang together.

    Lines along the last axis are taken apart into runs, and runs of neighbouring lines that touch are united.

    Args:
        mask: what is to be told apart.
        corners: whether voxels that meet at an edge or a corner hang together too, not at faces alone.

    Returns:
        numbers 1, 2, ... of the parts, 0 outside, in the mask's shape; and how many parts there are.
    """
    edges = np.diff(np.pad(mask, [(0, 0), (0, 0), (1, 1)]).astype(np.int8), axis=2)
    lines, starts = _places(edges == 1)
    stops = _places(edges == -1)[1]
    sides = [(1, 0), (0, 1), (1, 1), (1, -1)] if corners else [(1, 0), (0, 1)]
    touching = [_touching(lines, starts, stops, side, mask.shape, int(corners)) for side in sides]
    roots = _united(
        len(lines), (np.concatenate([one for one, _ in touching]), np.concatenate([two for _, two in touching]))
    )
    kept, numbers = np.unique(roots, return_inverse=True)
    numbered = np.zeros(mask.shape, np.int64)
    numbered[mask] = np.repeat(numbers + 1, stops - starts)
    return numbered, len(kept)


def _places(edges: NDArray[np.bool_]) -> Pairs:
    """Line and place along it of what is marked."""
    where = np.flatnonzero(edges)
    return where // edges.shape[2], where % edges.shape[2]


def _touching(
    lines: NDArray[np.int64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    side: tuple[int, int],
    shape: tuple[int, ...],
    reach: int,
) -> Pairs:
    """Pairs of runs, one of each line and one of the line beside it, that overlap but for ``reach`` voxels."""
    across = lines % shape[1] + side[1]
    inside = np.flatnonzero((across >= 0) & (across < shape[1]))
    width = shape[2] + 4  # so that no run of a line reaches into the next
    beside = (lines[inside] + side[0] * shape[1] + side[1]) * width
    first = np.searchsorted(lines * width + stops, beside + starts[inside] - reach, side="right")
    last = np.searchsorted(lines * width + starts, beside + stops[inside] + reach, side="left")
    counts = np.maximum(last - first, 0)
    before = np.cumsum(counts) - counts
    return np.repeat(inside, counts), np.arange(counts.sum()) + np.repeat(first - before, counts)


def _united(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """The first of those each of ``count`` things is united with, by pairs."""
    root = np.arange(count)
    while True:
        one, two = root[pairs[0]], root[pairs[1]]
        apart = one != two
        if not apart.any():
            return root
        np.minimum.at(root, np.maximum(one, two)[apart], np.minimum(one, two)[apart])
        while not np.array_equal(higher := root[root], root):
            root = higher
