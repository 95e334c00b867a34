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
        self.image = functional.pad(grid.image(image, inside), pad, value=AIR)
        self.attention = functional.pad(objects[tuple(inside)], pad).to(image.device)
        self.windows = [self._windows(volume, grid) for volume in (self.image, self.attention)]

    def _windows(self, volume: torch.Tensor, grid: QueryGrid) -> torch.Tensor:
        """The patch that begins at each voxel of a volume (..., X, Y, Z), as a view (..., X, Y, Z, P, P[, P])."""
        windows = _slice_by_slice(volume) if grid.spatial_dims == 2 else volume.contiguous()
        for axis, side in zip((-3, -2, -1), grid.box, strict=True):
            if side > 1:
                windows = windows.unfold(axis - windows.ndim + volume.ndim, side, 1)
        return windows

    def cut(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Patches (B, C + 1, P, P[, P]), image and mask, of queries as rows (object, x, y, z)."""
        table = torch.tensor(rows)
        place = table[:, 1:] - self.origin
        number, x, y, z = torch.cat([table[:, :1], place], 1).T.to(self.image.device, non_blocking=True)
        image, attention = self.windows
        patches, objects = image[:, x, y, z].movedim(0, 1), attention[x, y, z]
        own = objects == number.view(-1, *[1] * (objects.ndim - 1))
        return torch.cat([patches, own[:, None].to(patches.dtype)], 1)


def _slice_by_slice(volume: torch.Tensor) -> torch.Tensor:
    """A volume (..., X, Y, Z) in whose memory each axial slice lies in one piece, as an axial patch is cut from it.

    It is copied plane by plane: a plane stays in the cache.
    """
    width, height, depth = volume.shape[-3:]
    slices = volume.new_empty(*volume.shape[:-3], depth, width, height)
    for x in range(width):
        slices[..., x, :] = volume[..., x, :, :].mT
    return slices.movedim(-3, -1)
