"""The queries of one volume and their patches, cut a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import MetaTensor
from torch.nn import functional

from ..cohort.volume import case_of
from ..queries.grid import AIR, QueryGrid


class VolumePatches:
    """Image and attention on the query grid where queries can reach; the rest of the volume is not resampled.

    Args:
        grid: where queries are cut.
        image: the volume (C, X', Y', Z') in RAS, in its own units.
        objects: object numbers (X, Y, Z) on the grid.
        grow: how many times patches beyond the first may be requested.
    """

    def __init__(self, grid: QueryGrid, image: MetaTensor, objects: torch.Tensor, grow: int = 0) -> None:
        self.shape: tuple[int, ...] = tuple(objects.shape)
        self.objects, self.case = objects, case_of(image)
        self.queries = grid.queries(objects.cpu().numpy())
        box = torch.tensor(grid.box)
        reach = torch.where(box > 1, grow * box, 0)
        starts = torch.from_numpy(self.queries[:, 1:]).long()
        if not len(starts):
            starts = torch.zeros(1, 3, dtype=torch.long)
        self.origin = starts.amin(0) - reach
        size = starts.amax(0) + box + reach - self.origin
        inside = [
            slice(max(first, 0), min(first + count, whole))
            for first, count, whole in zip(self.origin.tolist(), size.tolist(), self.shape, strict=True)
        ]
        sides = [
            side
            for part, first, count in zip(inside, self.origin.tolist(), size.tolist(), strict=True)
            for side in (part.start - first, first + count - part.stop)
        ]
        pad = [sides[4], sides[5], sides[2], sides[3], sides[0], sides[1]]  # torch's order is the last axis first
        # contiguous: pad keeps the memory layout of a scan that was stored sagittally
        self.image = functional.pad(grid.image(image, inside), pad, value=AIR).contiguous()
        self.attention = functional.pad(objects[tuple(inside)], pad).contiguous()
        across = torch.meshgrid(*[torch.arange(side) for side in grid.box], indexing="ij")
        height, depth = self.attention.shape[1:]
        strides = torch.tensor([height * depth, depth, 1])
        self.offsets = sum(step * stride for step, stride in zip(across, strides, strict=True)).to(image.device)
        if grid.spatial_dims == 2:
            self.offsets = self.offsets[..., 0]
        self.strides = strides

    def cut(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Patches (B, C + 1, P, P[, P]), image and mask, of queries as rows (object, x, y, z)."""
        table = torch.tensor(rows)
        first = ((table[:, 1:] - self.origin) * self.strides).sum(1).to(self.offsets.device, non_blocking=True)
        index = first.view(-1, *[1] * self.offsets.ndim) + self.offsets
        number = table[:, 0].to(self.offsets.device, non_blocking=True).view(-1, *[1] * self.offsets.ndim)
        attention = self.attention.flatten()[index]
        return torch.stack(
            [*(channel.flatten()[index] for channel in self.image), (attention == number).float()], dim=1
        )
