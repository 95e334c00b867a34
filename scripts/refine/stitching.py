"""One object of a volume: its refined patches stitched together, and more requested where it reaches their border."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data.utils import compute_importance_map
from numpy.typing import NDArray

from ..queries.grid import overlap_slices

Start = tuple[int, ...]


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

    def request_more(self, objects: torch.Tensor, threshold: float) -> list[Start]:
        """First voxels of more patches, half a patch further, where the object reaches the border of all its patches.

        Only where the attention map (X, Y, Z), ``objects``, shows something of the object.
        """
        unchecked = list(self.patches.items())[self.checked :]
        if not self.grow or not unchecked:
            return []
        self.grow -= 1
        self.checked = len(self.patches)
        axes = [axis for axis, side in enumerate(self.box) if side > 1]
        stacked = torch.stack([patch for _, patch in unchecked])
        ends = [stacked.select(axis + 1, end).flatten(1).amax(1) for axis in axes for end in (0, -1)]
        touched = (torch.stack(ends, 1) > threshold).tolist()
        starts = np.array(list(self.patches))
        more: dict[Start, None] = {}
        for (start, _), sides in zip(unchecked, touched, strict=True):
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
                if bool((objects[where] == self.number).any()):
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
        starts = torch.tensor(list(self.patches))
        low = starts.amin(0).clamp_min(0)
        high = torch.minimum(starts.amax(0) + torch.tensor(self.box), torch.tensor(self.shape))
        first, size = low.tolist(), (high - low).tolist()
        any_patch = next(iter(self.patches.values()))
        weight = compute_importance_map(self.box, mode="gaussian", sigma_scale=0.25, device=any_patch.device)
        slices_first = [size[2], *size[:2]]  # a patch of one slice is added to one piece of memory
        total, weights = (any_patch.new_zeros(slices_first).movedim(0, -1) for _ in range(2))
        for start, patch in self.patches.items():
            part, where = overlap_slices(
                [begin - least for begin, least in zip(start, first, strict=True)], self.box, size
            )
            total[where] += patch[part] * weight[part]
            weights[where] += weight[part]
        return first, total / weights.clamp_min(1e-8)
