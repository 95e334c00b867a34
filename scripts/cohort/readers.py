"""MONAI's readers of NIfTI files and DICOM series, with our checks and corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ITKReader, NibabelReader
from numpy.typing import NDArray

from .dicom import read_series
from .nifti import read_nifti
from .volume_errors import require_place


class NiftiReader(NibabelReader):
    """MONAI's NIfTI reader with two corrections.

    MONAI's stops after the voxels and ignores the checksum behind them; and where voxel sizes and sform of a header
    disagree it silently uses another affine than the one the intake checked.
    """

    def read(self, data: Any, **kwargs: Any) -> Any:
        """The file as a nibabel image; errors of ``read_nifti``, and of ``require_place`` if it is to be reoriented."""
        self.filenames = data if isinstance(data, tuple) else (data,)
        image = read_nifti(Path(self.filenames[0]), **self.kwargs | kwargs)
        if self.as_closest_canonical:
            require_place(image.affine)
        return image

    def get_data(self, img: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Voxels as float32 in C order, and MONAI's meta data."""
        voxels, meta = super().get_data(img)
        return c_ordered(voxels), meta


class SeriesReader(ITKReader):
    """MONAI's reader for a folder's largest series, in geometric order; its own choice needs a usable UID."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most  # voxels

    def read(self, data: Any, **kwargs: Any) -> Any:
        """The series as an ITK image; errors of ``read_series``."""
        return read_series(Path(data[0] if isinstance(data, tuple) else data), self.most, **self.kwargs | kwargs)


def c_ordered(voxels: NDArray[Any]) -> NDArray[np.float32]:
    """Voxels (X, Y, ...) as float32 in C order.

    Each plane along Y is converted by itself: a plane stays in the cache, while NumPy goes through a whole volume in
    Fortran order voxel by voxel.
    """
    ordered = np.empty(voxels.shape, np.float32)
    if voxels.ndim < 2:
        ordered[...] = voxels
    else:
        for y in range(voxels.shape[1]):
            ordered[:, y] = voxels[:, y]
    return ordered
