"""Voxels of a file in RAS as a plain array, for checks: without MONAI, which takes seconds to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from .detached_headers import require_beside, require_inflated
from .dicom import LPS_TO_RAS, read_series
from .itk_alone import itk_alone
from .nifti import is_nifti, read_nifti
from .volume_errors import require_file


class Canonical(NamedTuple):
    """Voxels (C, X, Y, Z) in RAS, and voxel index to RAS mm (4, 4)."""

    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]


def read_canonical(path: Path, indices: bool = False) -> Canonical:
    """Voxels of any value, reoriented to RAS, as ``load_stored`` reads them for the stages.

    Args:
        path: of a file whose header was checked, or of a folder with a DICOM series.
        indices: read the indices of a picture with a palette instead of its colours, for label maps.

    Raises:
        VolumeError: for the kinds of ``READER_FINDINGS``; readers raise whatever they like for the rest.
    """
    if path.is_dir():
        return _series(path)
    if is_nifti(path):
        require_file(path)
        require_beside(path)
        require_inflated(path)
        image = read_nifti(path)
        return _in_ras(np.asanyarray(image.dataobj), image.affine)
    from .volume import load_stored

    volume = load_stored(path, indices)
    return _in_ras(np.moveaxis(volume.numpy(), 0, -1), np.asarray(volume.affine))


def _series(folder: Path) -> Canonical:
    itk = itk_alone()
    image = read_series(folder)
    stored = itk.array_from_image(image).T  # channels first, if there are any
    affine = np.eye(4)
    affine[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.asarray(image.GetSpacing())
    affine[:3, 3] = np.asarray(image.GetOrigin())
    return _in_ras(np.moveaxis(stored, 0, -1) if stored.ndim == 4 else stored, LPS_TO_RAS @ affine)


def _in_ras(voxels: NDArray[Any], affine: NDArray[np.float64]) -> Canonical:
    """Stored voxels (X, Y, Z) or (X, Y, Z, C), with axes swapped and flipped to RAS."""
    orientation = io_orientation(affine)
    turned = apply_orientation(voxels.astype(np.float32), orientation)
    moved = turned[None] if voxels.ndim == 3 else np.moveaxis(turned, -1, 0)
    return Canonical(np.asarray(moved), np.asarray(affine @ inv_ornt_aff(orientation, voxels.shape[:3])))


def reoriented(voxels: NDArray[Any], affine: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """Voxels (X, Y, Z) of an affine with their axes swapped and flipped to those of another affine."""
    turned: NDArray[Any] = apply_orientation(voxels, ornt_transform(io_orientation(affine), io_orientation(target)))
    return turned


def compact(indices: NDArray[np.integer]) -> NDArray[Any]:
    """Indices of organs with 8 bits where they fit, with 16 otherwise."""
    return indices.astype(np.uint8 if indices.max(initial=0) < 256 else np.uint16)
