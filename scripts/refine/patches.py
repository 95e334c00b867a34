"""The queries of one volume and their patches, cut a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import MetaTensor

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
        self.objects, self.case = objects.cpu().numpy(), case_of(image)
        self.queries = grid.queries(self.objects)
        box = torch.tensor(grid.box)
        reach = grow * (box // 2)  # more patches lie half a patch further each time
        starts = torch.from_numpy(self.queries[:, 1:]).long()
        if not len(starts):
            starts = torch.zeros(1, 3, dtype=torch.long)
        self.origin = starts.amin(0) - reach
        size = starts.amax(0) + box + reach - self.origin
        inside = [
            slice(max(first, 0), min(first + count, whole))
            for first, count, whole in zip(self.origin.tolist(), size.tolist(), self.shape, strict=True)
        ]
        volumes = (grid.image(image, inside), AIR), (objects[tuple(inside)].to(image.device), 0)
        first = [part.start - begin for part, begin in zip(inside, self.origin.tolist(), strict=True)]
        self.windows = [
            _windows(_padded(volume, size.tolist(), first, outside, grid), grid) for volume, outside in volumes
        ]

    def cut(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Patches (B, C + 1, P, P[, P]), image and mask, of queries as rows (object, x, y, z)."""
        image, attention = self.windows
        table = torch.tensor(rows)
        place = table[:, 1:] - self.origin
        number, x, y, z = torch.cat([table[:, :1], place], 1).T.to(image.device, non_blocking=True)
        patches, objects = image[:, x, y, z].movedim(0, 1), attention[x, y, z]
        own = objects == number.view(-1, *[1] * (objects.ndim - 1))
        return torch.cat([patches, own[:, None].to(patches.dtype)], 1)


def _padded(
    volume: torch.Tensor, size: Sequence[int], first: Sequence[int], outside: float, grid: QueryGrid
) -> torch.Tensor:
    """A volume (..., X', Y', Z') from voxel ``first`` on in a larger one (..., X, Y, Z) filled with ``outside``.

    In 2-D each axial slice of it lies in one piece of memory, as an axial patch is cut from it. It is copied plane by
    plane: a plane stays in the cache.
    """
    x, y, z = (slice(begin, begin + count) for begin, count in zip(first, volume.shape[-3:], strict=True))
    shape = size if grid.spatial_dims == 3 else (size[2], *size[:2])
    padded = volume.new_full((*volume.shape[:-3], *shape), outside)
    padded = padded if grid.spatial_dims == 3 else padded.movedim(-3, -1)
    for target, plane in zip(padded[..., x, y, z].unbind(-3), volume.unbind(-3), strict=True):
        target.copy_(plane)
    return padded


def _windows(volume: torch.Tensor, grid: QueryGrid) -> torch.Tensor:
    """The patch that begins at each voxel of a volume (..., X, Y, Z), as a view (..., X, Y, Z, P, P[, P])."""
    windows = volume
    for axis, side in zip((-3, -2, -1), grid.box, strict=True):
        if side > 1:
            windows = windows.unfold(axis - windows.ndim + volume.ndim, side, 1)
    return windows
