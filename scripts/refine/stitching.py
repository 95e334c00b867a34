"""One object of a volume as its patches come in: put together, and asked for more where it reaches a border."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data.utils import compute_importance_map

from ..queries.grid import overlap

Start = tuple[int, ...]


class Drawn:
    """The refined patches of one object.

    Args:
        number: of the object.
        box: shape (X, Y, Z) of a patch on the query grid; one voxel deep in 2-D.
        shape: of the query grid.
        grow: how often it may ask for patches beyond its own.
    """

    def __init__(self, number: int, box: Sequence[int], shape: Sequence[int], grow: int) -> None:
        self.number, self.box, self.shape, self.grow = number, tuple(box), tuple(shape), grow
        self.patches: dict[Start, torch.Tensor] = {}
        self.waiting = 0  # queries asked for and not refined yet
        self.asked = 0  # patches whose borders have been looked at

    def add(self, start: Start, standing: torch.Tensor) -> None:
        """Take a refined patch (P, P[, P])."""
        self.patches[start] = standing.view(self.box)
        self.waiting -= 1

    def beyond(self, objects: torch.Tensor, threshold: float) -> list[Start]:
        """First voxels of more patches, half a patch on, where the object is drawn up to a border of all patches.

        Only where the attention (X, Y, Z), ``objects``, has something of the object to show.
        """
        looked = list(self.patches.items())[self.asked :]
        if not self.grow or not looked:
            return []
        self.grow -= 1
        self.asked = len(self.patches)
        axes = [axis for axis, side in enumerate(self.box) if side > 1]
        stacked = torch.stack([patch for _, patch in looked])
        ends = [stacked.select(axis + 1, end).flatten(1).amax(1) for axis in axes for end in (0, -1)]
        touched = (torch.stack(ends, 1) > threshold).tolist()
        more: dict[Start, None] = {}
        for (start, _), sides in zip(looked, touched, strict=True):
            for side, touches in enumerate(sides):
                axis, forward = axes[side // 2], side % 2 == 1
                next_voxel = start[axis] + self.box[axis] if forward else start[axis] - 1
                if not touches or not 0 <= next_voxel < self.shape[axis] or self._covered(start, axis, next_voxel):
                    continue
                half = self.box[axis] // 2
                on = [*start[:axis], start[axis] + (half if forward else -half), *start[axis + 1 :]]
                _, where = overlap(on, self.box, self.shape)
                if bool((objects[where] == self.number).any()):
                    more[tuple(on)] = None
        found = [start for start in more if start not in self.patches]
        self.waiting += len(found)
        return found

    def _covered(self, start: Start, axis: int, voxel: int) -> bool:
        """Whether another patch in line with this one goes on beyond its border."""
        return any(
            other[axis] <= voxel < other[axis] + self.box[axis]
            and all(
                abs(one - two) < max(side // 2, 1)
                for place, (one, two, side) in enumerate(zip(start, other, self.box, strict=True))
                if place != axis
            )
            for other in self.patches
            if other != start
        )

    def together(self) -> tuple[list[int], torch.Tensor]:
        """First voxel on the grid and standing (X, Y, Z) of the smallest box of it that holds all patches."""
        starts = torch.tensor(list(self.patches))
        low = starts.amin(0).clamp_min(0)
        high = torch.minimum(starts.amax(0) + torch.tensor(self.box), torch.tensor(self.shape))
        first, size = low.tolist(), (high - low).tolist()
        one = next(iter(self.patches.values()))
        weight = compute_importance_map(self.box, mode="gaussian", sigma_scale=0.25, device=one.device)
        total, weights = one.new_zeros(size), one.new_zeros(size)
        for start, patch in self.patches.items():
            part, where = overlap([begin - least for begin, least in zip(start, first, strict=True)], self.box, size)
            total[where] += patch[part] * weight[part]
            weights[where] += weight[part]
        return first, total / weights.clamp_min(1e-8)
