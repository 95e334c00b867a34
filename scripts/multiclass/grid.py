"""The grid on which plain networks work: whole volumes, windowed and resampled."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import MetaTensor

from ..cohort.resampling import resample, working_shape
from ..cohort.volume import spacing
from ..cohort.window import normalise
from ..errors import SemclError


class SegmentGrid:
    """Volumes windowed and resampled, and the size of what a network sees of them at once.

    Args:
        dims: 2: axial slices of the scan; 3: patches.
        size: voxels (X, Y[, Z]) of a slice or patch; larger slices are cut, smaller ones padded.
        spacing: voxel size of the grid in mm along X, Y, Z; 0: the scan's own. In 2-D slices stay as scanned.
        window: intensity window, as ``normalise`` takes it.

    Raises:
        SemclError: for other dimensions, or a size that does not have them.
    """

    def __init__(self, dims: int, size: Sequence[int], spacing: Sequence[float], window: Sequence[float] | str) -> None:
        if dims not in (2, 3):
            raise SemclError("unknown segment_dims", found=dims, expected="2 or 3", remedy="set segment_dims")
        if len(size) != dims:
            raise SemclError(
                "a size of other dimensions",
                found=f"size {list(size)}, segment_dims {dims}",
                expected=f"{dims} sides",
                remedy="set segment_size or segment_patch",
            )
        self.dims, self.size, self.window = dims, tuple(size), window
        self.spacing = [*spacing[:2], 0] if dims == 2 else list(spacing)

    @property
    def box(self) -> tuple[int, ...]:
        """Voxels (X, Y, Z) of a slice or patch."""
        return self.size if self.dims == 3 else (*self.size, 1)

    def shape(self, image: MetaTensor) -> tuple[int, ...]:
        """The shape (X, Y, Z) of a volume (C, X, Y, Z) on the grid."""
        return working_shape(image.shape[1:], spacing(image), self.spacing)

    def image(self, image: MetaTensor) -> torch.Tensor:
        """A volume (C, X, Y, Z) in its own units on the grid, in [-1, 1]."""
        return resample(normalise(image.as_tensor(), self.window), self.shape(image))
