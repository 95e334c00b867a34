"""NIfTI files, read to the end of the file, where the checksum is."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from .volume_errors import VolumeError

try:
    from isal.igzip import open as fast_open  # in less than half of the time
except ImportError:  # as where the bundle runs with MONAI's packages alone
    fast_open = gzip.open

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


def read_nifti(path: Path, **options: Any) -> Any:
    """A file as a nibabel image, its compressed voxels read and checked.

    Args:
        path: of the file.
        options: of ``nibabel.load``.

    Raises:
        VolumeError: for complex voxels or colours, a wrong checksum, or more than padding after the voxels.
    """
    image: Any = nib.load(path, **options)
    require_real(image.get_data_dtype())
    if path.suffix != ".gz":
        return image
    try:
        voxels = _voxels(path, type(image), fast_open)
    except Exception:  # whatever it was, the standard library says it in the words that are known
        voxels = _voxels(path, type(image), gzip.open)
    return type(image)(voxels, image.affine, image.header)


def _voxels(path: Path, kind: Any, opened: Callable[[Path], Any]) -> Any:
    """The voxels of a compressed file, which is read to its end.

    Raises:
        VolumeError: see ``read_nifti``; others for a file that ends early.
    """
    try:
        with opened(path) as stream:
            whole = kind.from_file_map({"image": nib.FileHolder(str(path), stream)})
            voxels = np.asanyarray(whole.dataobj)
            behind = 0
            while block := stream.read(READ_BYTES):
                behind += len(block)
                if behind > PADDING:
                    raise VolumeError("damaged_gzip", "more voxels than the header states")
    except gzip.BadGzipFile as error:
        raise VolumeError("damaged_gzip", str(error)) from error
    return voxels
