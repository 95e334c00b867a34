"""One object of a volume: its refined patches stitched together, and more requested where it reaches their border."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from monai.data.utils import compute_importance_map
from numpy.typing import NDArray

from ..queries.grid import overlap_slices

Start = tuple[int, ...]
ONE_BY_ONE = ("cpu",)  # devices on which axial patches are added one by one, which stays in the cache


class StitchedObject:
    """The refined patches of one object.

    Args:
        number: of the object.
        box: shape (X, Y, Z) of a patch on the query grid; one voxel deep in 2-D.
        shape: of the query grid.
        grow: how many times it may request patches beyond its own.
    """

    def __init__(self, number: int, box: Sequence[int], shape: Sequence[int], grow: int) -> None:
        self.number, self.box, self.shape, self.grow = number, tuple(box), tuple(shape), grow
        self.patches: dict[Start, torch.Tensor] = {}
        self.pending = 0  # queries requested and not refined yet
        self.checked = 0  # patches whose borders have been checked

    def add(self, start: Start, score: torch.Tensor) -> None:
        """Add the scores of a refined patch (P, P[, P])."""
        self.patches[start] = score.view(self.box)
        self.pending -= 1

    def borders(self) -> torch.Tensor:
        """The highest score of each patch not looked at before on each of its borders (N, borders), on its device.

        Borders are the first and last voxels along X, then Y, then Z in 3-D. There is no row where the object may
        request no more patches.
        """
        patches = list(self.patches.values())[self.checked :] if self.grow else []
        axes = [axis for axis, side in enumerate(self.box, start=1) if side > 1]
        if not patches:
            return next(iter(self.patches.values())).new_empty(0, 2 * len(axes))
        stacked = torch.stack(patches)
        return torch.stack([stacked.select(axis, end).flatten(1).amax(1) for axis in axes for end in (0, -1)], 1)

    def request_more(self, objects: NDArray[np.integer], touched: Sequence[Sequence[bool]]) -> list[Start]:
        """First voxels of more patches, half a patch further, where the object reaches the border of all its patches.

        Args:
            objects: the attention map (X, Y, Z): only where it shows something of the object.
            touched: whether the object reaches each border, as ``touched_borders`` has it.
        """
        if not touched:
            return []
        self.grow -= 1
        unchecked = list(self.patches)[self.checked :]
        self.checked = len(self.patches)
        axes = [axis for axis, side in enumerate(self.box) if side > 1]
        starts = np.array(list(self.patches))
        more: dict[Start, None] = {}
        for start, sides in zip(unchecked, touched, strict=True):
            for side, touches in enumerate(sides):
                axis, forward = axes[side // 2], side % 2 == 1
                next_voxel = start[axis] + self.box[axis] if forward else start[axis] - 1
                if (
                    not touches
                    or not 0 <= next_voxel < self.shape[axis]
                    or self._covered(starts, start, axis, next_voxel)
                ):
                    continue
                half = self.box[axis] // 2
                further = [*start[:axis], start[axis] + (half if forward else -half), *start[axis + 1 :]]
                _, where = overlap_slices(further, self.box, self.shape)
                if (objects[where] == self.number).any():
                    more[tuple(further)] = None
        found = [start for start in more if start not in self.patches]
        self.pending += len(found)
        return found

    def _covered(self, starts: NDArray[np.int_], start: Start, axis: int, voxel: int) -> bool:
        """Whether another patch of ``starts`` (N, 3) in line with this one covers the voxel beyond its border."""
        near = abs(starts - start) < np.maximum(np.array(self.box) // 2, 1)
        near[:, axis] = (starts[:, axis] <= voxel) & (voxel < starts[:, axis] + self.box[axis])
        others = near.all(1) & (starts != start).any(1)
        return bool(others.any())

    def stitch(self) -> tuple[list[int], torch.Tensor]:
        """First voxel on the grid and scores (X, Y, Z) of the smallest box of the grid that holds all patches."""
        starts = np.array(list(self.patches))
        low, high = starts.min(0), starts.max(0) + self.box
        first, last = np.maximum(low, 0), np.minimum(high, self.shape)
        any_patch = next(iter(self.patches.values()))
        if self.box[2] > 1 or any_patch.device.type in ONE_BY_ONE:
            total, weights = self._sums(first.tolist(), (last - first).tolist())
        else:
            inside = tuple(slice(*ends) for ends in zip((first - low).tolist(), (last - low).tolist(), strict=True))
            total, weights = (part[inside] for part in self._sums_of_slices(low, (high - low).tolist()))
        return first.tolist(), total / weights.clamp_min(1e-8)

    def _sums(self, first: list[int], size: list[int]) -> list[torch.Tensor]:
        """Sums of weighted scores and of weights in a box (X, Y, Z), patch by patch."""
        any_patch = next(iter(self.patches.values()))
        weight = _importance(self.box, any_patch.device)
        slices_first = [size[2], *size[:2]]  # a patch of one slice is added to one piece of memory
        total, weights = (any_patch.new_zeros(slices_first).movedim(0, -1) for _ in range(2))
        for start, patch in self.patches.items():
            part, where = overlap_slices(
                [begin - least for begin, least in zip(start, first, strict=True)], self.box, size
            )
            total[where].add_(patch[part] * weight[part])
            weights[where].add_(weight[part])
        return [total, weights]

    def _sums_of_slices(self, first: NDArray[np.int_], size: list[int]) -> list[torch.Tensor]:
        """The same of axial patches, which all lie inside the box, many at once: few launches on a GPU."""
        any_patch = next(iter(self.patches.values()))
        (width, height, depth), device = size, any_patch.device
        weight = _importance(self.box, device).flatten()
        rows, columns = (torch.arange(side, device=device) for side in self.box[:2])
        voxels = (rows[:, None] * height + columns).flatten()  # of a patch, in a box whose slices lie in one piece
        total, weights = any_patch.new_zeros(2, depth * width * height)
        for group in self._groups():
            x, y, z = (np.array(group) - first).T
            begin = torch.from_numpy((z * width + x) * height + y).to(device, non_blocking=True)
            places = (begin[:, None] + voxels).flatten()
            scores = torch.stack([self.patches[start] for start in group]).flatten(1)
            total.scatter_add_(0, places, (scores * weight).flatten())
            weights.scatter_add_(0, places, weight.repeat(len(group)))
        return [part.view(depth, width, height).movedim(0, -1) for part in (total, weights)]

    def _groups(self) -> list[list[Start]]:
        """Axial patches in groups of at most one a slice: none overlap, so a GPU sums in the order of a CPU."""
        groups: list[list[Start]] = []
        turns: Counter[int] = Counter()
        for start in self.patches:
            turn = turns[start[2]]
            turns[start[2]] += 1
            if turn == len(groups):
                groups.append([])
            groups[turn].append(start)
        return groups


def touched_borders(objects: Sequence[StitchedObject], threshold: float) -> list[list[list[bool]]]:
    """Whether each new patch of each object has scores above a threshold at each border, waiting for the device once.

    Objects, their patches and borders are in the order of ``StitchedObject.borders``.
    """
    highest = [one.borders() for one in objects]
    counts = [len(rows) for rows in highest]
    if not sum(counts):
        return [[] for _ in objects]
    touched = (torch.cat(highest) > threshold).cpu()
    return [rows.tolist() for rows in torch.split(touched, counts)]


@cache
def _importance(box: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Weights (X, Y, Z) of a patch's voxels: a Gaussian around its centre."""
    return compute_importance_map(box, mode="gaussian", sigma_scale=0.25, device=device)
