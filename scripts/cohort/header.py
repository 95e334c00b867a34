"""Headers: shape and affine of a volume, read without its voxels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.orientations import inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from . import dicom
from .detached_headers import require_beside
from .itk_alone import itk_alone
from .nifti import is_nifti, require_real
from .pictures import AFFINE, is_photo
from .volume_errors import VolumeError, require_file


@dataclass(frozen=True)
class Header:
    """Shape and geometry of a file's voxels, from its header alone.

    Args:
        shape: voxels along X, Y, Z, then frames or channels if the file has a fourth axis.
        affine: voxel index to RAS mm (4, 4).
        forms_apart: largest difference (mm) between a NIfTI file's qform and sform.
        oriented: whether the file states its orientation.
        series: the series of a DICOM folder, first the one that is read.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    forms_apart: float = 0.0
    oriented: bool = True
    series: tuple[dicom.Series, ...] = ()

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Voxel size (mm) along X, Y, Z."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors (columns, RAS) along X, Y, Z."""
        return np.asarray(self.affine[:3, :3] / self.sizes)

    def canonical(self) -> Header:
        """The same voxels with axes swapped and flipped to RAS."""
        orientation = io_orientation(self.affine)
        shape = [0, 0, 0]
        for axis, target in enumerate(orientation[:, 0].astype(int)):
            shape[target] = self.shape[axis]
        return Header(tuple(shape), np.asarray(self.affine @ inv_ornt_aff(orientation, self.shape[:3])))


def read_header(path: Path) -> Header:
    """Header of a NIfTI file, another file ITK reads, or a folder of DICOM slices; raises what their readers do."""
    if path.is_dir():
        series = dicom.find_series(path)
        series[0].require_whole()
        return Header(series[0].shape, series[0].affine, series=tuple(series))
    require_file(path)
    require_beside(path)
    if is_nifti(path):
        image = cast(nib.Nifti1Image, nib.load(path))
        require_real(image.get_data_dtype())
        (qform, qcode), (sform, scode) = image.get_qform(coded=True), image.get_sform(coded=True)
        apart = float(abs(qform - sform).max()) if qcode and scode else 0.0
        return Header(tuple(image.shape), np.asarray(image.affine, np.float64), apart, bool(qcode or scode))
    itk = itk_alone()
    reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    if reader is None:
        raise ValueError("no reader knows this file")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetPixelTypeAsString(reader.GetPixelType()) == "complex":
        raise VolumeError("voxel_type", "complex numbers")
    if is_photo(path):
        return Header((int(reader.GetDimensions(0)), int(reader.GetDimensions(1)), 1), AFFINE)
    count = reader.GetNumberOfDimensions()
    axes = range(min(count, 3))
    affine = np.eye(4)
    for axis in axes:
        affine[axes, axis] = np.array(reader.GetDirection(axis))[: len(axes)] * reader.GetSpacing(axis)
        affine[axis, 3] = reader.GetOrigin(axis)
    channels = reader.GetNumberOfComponents()
    shape = tuple(int(reader.GetDimensions(axis)) for axis in range(count))
    return Header((*shape, channels) if channels > 1 else shape, np.asarray(dicom.LPS_TO_RAS @ affine))
