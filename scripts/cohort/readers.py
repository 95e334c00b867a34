"""MONAI's readers of NIfTI files and DICOM series, with our checks and corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.data import ITKReader, NibabelReader

from .dicom import read_series
from .nifti import read_nifti


class NiftiReader(NibabelReader):
    """MONAI's NIfTI reader with two corrections.

    MONAI's stops after the voxels and ignores the checksum behind them; and where voxel sizes and sform of a header
    disagree it silently uses another affine than the one the intake checked.
    """

    def read(self, data: Any, **kwargs: Any) -> Any:
        """The file as a nibabel image; errors of ``read_nifti``."""
        self.filenames = data if isinstance(data, tuple) else (data,)
        return read_nifti(Path(self.filenames[0]), **self.kwargs | kwargs)


class SeriesReader(ITKReader):
    """MONAI's reader for a folder's largest series, in geometric order; its own choice needs a usable UID."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most  # voxels

    def read(self, data: Any, **kwargs: Any) -> Any:
        """The series as an ITK image; errors of ``read_series``."""
        return read_series(Path(data[0] if isinstance(data, tuple) else data), self.most, **self.kwargs | kwargs)
