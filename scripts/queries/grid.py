"""The query grid: where the queries of each object lie on a volume, and the patches cut there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from ..cohort.components import boxes, without_islands
from ..cohort.resampling import resample, resample_objects, working_shape
from ..cohort.volume import spacing
from ..cohort.window import between, window_ends
from ..errors import one_of

OVERLAP = 0.25  # of neighbouring patches, as a share of a patch, where an object is larger than one
MARGIN = 0.125  # at least, between such an object and the outer border of its patches, as a share of a patch
AIR = -1.0  # lower end of the window: the intensity outside the volume

Ends = tuple[int, int]  # of a range of voxels: its first, and the one after its last


class QueryGrid:
    """The grid on which queries are cut, the same for pretraining, fine-tuning and inference.

    A 2-D query is an axial patch (P, P) of one slice, a 3-D query a cube (P, P, P); both are boxes of a volume
    (X, Y, Z) in RAS, the former one slice deep.

    Args:
        spatial_dims: 2 or 3.
        patch_size: P, voxels of the grid per side.
        spacing: voxel size of the grid in mm along X, Y, Z; 0: the volume's own.
        window: intensities that are mapped to [-1, 1], or "percentile" (see ``normalise``).
        extend: slices beyond those of an object's attention, and in gaps between them, on which it also has queries.
        islands: connected components of an object's attention below this share of the largest are left out; 0 keeps
            all.
    """

    def __init__(
        self,
        spatial_dims: int,
        patch_size: int,
        spacing: Sequence[float],
        window: Sequence[float] | str,
        extend: int = 0,
        islands: float = 0.0,
    ) -> None:
        one_of("spatial_dims", spatial_dims, (2, 3))
        self.spatial_dims, self.patch_size = spatial_dims, patch_size
        self.spacing, self.window, self.extend, self.islands = list(spacing), window, extend, islands
        self.box = (patch_size, patch_size, patch_size if spatial_dims == 3 else 1)

    def settings(self) -> dict[str, object]:
        """The settings, as plain data."""
        return {
            "spatial_dims": self.spatial_dims,
            "patch_size": self.patch_size,
            "spacing": self.spacing,
            "window": self.window,
            "extend": self.extend,
            "islands": self.islands,
        }

    def shape(self, image: MetaTensor) -> tuple[int, ...]:
        """Shape (X, Y, Z) of the grid over a volume (C, X', Y', Z')."""
        return working_shape(image.shape[1:], spacing(image), self.spacing)

    def image(self, image: MetaTensor, box: Sequence[slice] | None = None) -> torch.Tensor:
        """Intensities (C, X, Y, Z) in [-1, 1] on the grid, or in a box of it."""
        volume = image.as_tensor()
        low, high = window_ends(volume, self.window)
        clipped = resample(volume, self.shape(image), box, lambda part: part.clamp(low, high))
        return between(clipped, low, high)  # after the interpolation, as there are fewer voxels and both are linear

    def objects(self, objects: torch.Tensor, image: MetaTensor) -> torch.Tensor:
        """A map of object numbers (X', Y', Z') of that volume, resampled to the grid."""
        return resample_objects(objects, self.shape(image))

    def attention(self, objects: torch.Tensor, image: MetaTensor) -> torch.Tensor:
        """A coarse map (X', Y', Z') on the grid, without islands and with objects extended to neighbouring slices."""
        on_grid = self.objects(objects, image)
        extended = bool(self.extend) and self.spatial_dims == 2
        if not self.islands and not extended:
            return on_grid
        numbers = on_grid.cpu().numpy()
        if self.islands:
            numbers = without_islands(numbers, self.islands)
        return torch.from_numpy(extend_objects(numbers, self.extend) if extended else numbers).to(objects.device)

    def queries(self, attention: NDArray[np.integer]) -> NDArray[np.int32]:
        """Rows (object, x, y, z) of all queries of an attention map (X, Y, Z) on the grid, sorted by object.

        (x, y, z) is the box's first voxel and may lie outside. An object that fits into a patch has one centred query
        per slice (2-D) or one in all (3-D); a larger one has overlapping patches with a margin around it.
        """
        rows: list[tuple[int, ...]] = []
        for number, box in enumerate(boxes(attention), start=1):
            if box is None:
                continue
            own, corner = attention[box] == number, [part.start for part in box]
            for first, voxels, extent in self._masks(own):
                starts = [_starts(*ends, size) for ends, size in zip(extent, self.box, strict=True)]
                places = list(itertools.product(*starts))
                for start in places:
                    inside = tuple(
                        slice(max(begin, 0), begin + size) for begin, size in zip(start, self.box, strict=True)
                    )
                    if len(places) == 1 or voxels[inside].any():
                        where = zip(start, corner, (0, 0, first), strict=True)
                        rows.append((number, *(sum(parts) for parts in where)))
        return np.array(rows, np.int32).reshape(-1, 4)

    def _masks(self, own: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.bool_], list[Ends]]]:
        """An object's mask as queries see it, whole (X, Y, Z) or slice by slice (X, Y, 1): first slice, mask, extent.

        The extent is the first voxel with something of the object and the one after the last, along each axis.
        """
        if self.spatial_dims == 3:
            yield 0, own, [(0, side) for side in own.shape]
            return
        rows, columns = np.asarray(own.any(1)), np.asarray(own.any(0))
        for z in np.flatnonzero(rows.any(0)).tolist():
            yield z, own[:, :, z : z + 1], [_ends(rows[:, z]), _ends(columns[:, z]), (0, 1)]

    def cut(self, volume: torch.Tensor, start: Sequence[int], margin: int = 0, outside: float = 0) -> torch.Tensor:
        """The patch (..., P, P[, P]) of a volume (..., X, Y, Z) at ``start``, with ``margin`` more voxels on each side.

        Outside the volume it is filled with ``outside``.
        """
        grow = [margin if size > 1 else 0 for size in self.box]
        first = [begin - more for begin, more in zip(start, grow, strict=True)]
        shape = [size + 2 * more for size, more in zip(self.box, grow, strict=True)]
        patch = volume.new_full((*volume.shape[:-3], *shape), outside)
        in_patch, in_volume = overlap_slices(first, shape, volume.shape[-3:])
        target, source = cast(Any, (..., *in_patch)), cast(Any, (..., *in_volume))
        patch[target] = volume[source]
        return patch if self.spatial_dims == 3 else patch[..., 0]


def extend_objects(objects: NDArray[np.integer], slices: int) -> NDArray[np.integer]:
    """Extend each object of a map of object numbers (X, Y, Z) to neighbouring slices.

    A coarse map may miss an object's ends, or slices in between. A slice without the object, at most ``slices`` away
    from one with it, gets a copy from the nearest such slice, except where other objects lie.
    """
    filled = objects.copy()
    for number, box in enumerate(boxes(objects), start=1):
        if box is None:
            continue
        x, y, z = box
        own, plane = objects[box] == number, filled[x, y]
        shown = np.flatnonzero(own.any((0, 1)))
        near = np.arange(max(z.start - slices, 0), min(z.stop + slices, objects.shape[2]))
        distances = abs(near[:, None] - (shown + z.start))
        nearest = distances.argmin(1)
        reached = (distances[np.arange(len(near)), nearest] > 0) & (distances[np.arange(len(near)), nearest] <= slices)
        for place, source in zip(near[reached].tolist(), shown[nearest[reached]].tolist(), strict=True):
            plane[:, :, place][own[:, :, source] & (plane[:, :, place] == 0)] = number
    return filled


def overlap_slices(
    start: Sequence[int], shape: Sequence[int], volume: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The overlap of a box at ``start`` and a volume, as slices of the box and slices of the volume."""
    in_box, in_volume = [], []
    for begin, size, count in zip(start, shape, volume, strict=True):
        low = min(max(begin, 0), count)
        high = max(min(begin + size, count), low)
        in_volume.append(slice(low, high))
        in_box.append(slice(low - begin, high - begin))
    return tuple(in_box), tuple(in_volume)


def _ends(shown: NDArray[np.bool_]) -> Ends:
    """The first voxel of an axis that shows something, and the one after the last."""
    found = np.flatnonzero(shown)
    return int(found[0]), int(found[-1]) + 1


def _starts(low: int, high: int, size: int) -> list[int]:
    """First voxels of the patches that cover low..high along one axis."""
    extent = high - low
    if extent <= size:
        return [low + (extent - size) // 2]
    margin = int(size * MARGIN)
    low, extent = low - margin, extent + 2 * margin
    count = math.ceil((extent - size) / (size * (1 - OVERLAP))) + 1
    return [low + round(number * (extent - size) / (count - 1)) for number in range(count)]
