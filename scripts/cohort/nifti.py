"""NIfTI read through MONAI, to the end of the file, where the checksum is."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import NibabelReader

from .volume_errors import VolumeError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
READ_BYTES = 1 << 20  # bytes
PADDING = 1 << 20  # bytes that may follow the voxels


def is_nifti(path: str | Path) -> bool:
    """Whether a file is NIfTI, by its name."""
    return Path(path).name.endswith(NIFTI_SUFFIXES)


def require_real(dtype: np.dtype[Any]) -> None:
    """Refuse voxels that are not single numbers.

    Raises:
        VolumeError: for those.
    """
    if dtype.kind not in "iufb":
        raise VolumeError("voxel_type", "complex numbers" if dtype.kind == "c" else f"{dtype}")


class NiftiReader(NibabelReader):
    """MONAI's NIfTI reader with two corrections.

    MONAI's stops after the voxels and ignores the checksum behind them; and where voxel sizes and sform of a header
    disagree it silently uses another affine than the one the intake checked.
    """

    def read(self, data: Sequence[str | PathLike[Any]] | str | PathLike[Any], **kwargs: Any) -> Any:
        """The file as a nibabel image.

        Raises:
            VolumeError: for complex voxels or colours, a wrong checksum, or more than padding after the voxels.
        """
        path = Path(data if isinstance(data, str | PathLike) else data[0])
        self.filenames = (str(path),)
        image: Any = nib.load(path, **self.kwargs | kwargs)
        require_real(image.get_data_dtype())
        if path.suffix != ".gz":
            return image
        try:
            with gzip.open(path) as stream:
                whole = type(image).from_file_map({"image": nib.FileHolder(str(path), stream)})
                voxels = np.asanyarray(whole.dataobj)
                behind = 0
                while block := stream.read(READ_BYTES):
                    behind += len(block)
                    if behind > PADDING:
                        raise VolumeError("damaged_gzip", "more voxels than the header states")
        except gzip.BadGzipFile as error:
            raise VolumeError("damaged_gzip", str(error)) from error
        return type(image)(voxels, image.affine, image.header)
