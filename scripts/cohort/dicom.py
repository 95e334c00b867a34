"""DICOM series: grouped and sorted by geometry with GDCM, read as one volume with ITK.

Tags are read to sort slices and to distinguish series, patients and phases; none of them is ever written anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .itk_alone import itk_alone
from .raw_headers import pixels_missing, replaced_attributes
from .volume_errors import VolumeError, require_size

DICOM_TAGS = {
    "uid": "0020|000e", "number": "0020|0011", "description": "0008|103e", "agent": "0018|0010",
    "modality": "0008|0060", "patient": "0010|0020",
}  # fmt: skip
PLACED = {"PixelSpacing": "0028|0030", "ImageOrientationPatient": "0020|0037", "ImagePositionPatient": "0020|0032"}
BITS = "0028|0100"
NAMES = {"patient": "patients", "modality": "modalities"}
SAME_PLACE = 1e-3  # mm
EVEN = 0.1  # of the median distance between slices
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # mm in DICOM's axes and ITK's to mm in NIfTI's


@dataclass(frozen=True)
class Slice:
    """One file: its tags, axes (unit vectors along X, Y and the normal, LPS), position (LPS mm), spacing (mm), size."""

    path: Path
    tags: dict[str, str]
    axes: NDArray[np.float64]
    place: NDArray[np.float64]
    spacing: tuple[float, ...]
    size: tuple[int, ...]
    unplaced: tuple[str, ...] = ()  # attributes of its geometry that are missing or impossible
    cut: str | None = None  # how many of its pixels are missing

    @property
    def depth(self) -> float:
        """Position (mm) along the normal."""
        return float(self.axes[:, 2] @ self.place)

    @property
    def series(self) -> tuple[Any, ...]:
        """What all slices of a series share, whether or not its identifier was kept."""
        axes = np.round(self.axes, 3) + 0.0  # no negative zeros
        named = (self.tags["uid"], self.tags["number"], self.tags["description"])
        return (*named, self.size, *np.round(self.spacing[:2], 3).tolist(), *axes.ravel().tolist())


@dataclass(frozen=True)
class Series:
    """The slices of one series, in order of their positions along the normal."""

    slices: tuple[Slice, ...]

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the first slice."""
        return self.slices[0].tags

    @property
    def distances(self) -> NDArray[np.float64]:
        """Distances (mm) between neighbouring slices."""
        return np.diff([item.depth for item in self.slices])

    @property
    def doubled(self) -> int:
        """Number of slices at the position of another."""
        return int((self.distances < SAME_PLACE).sum())

    @property
    def gaps(self) -> int:
        """Number of distances that differ from the median by more than a tenth."""
        apart = self.distances[self.distances >= SAME_PLACE]
        return int((abs(apart - np.median(apart)) > EVEN * np.median(apart)).sum()) if len(apart) else 0

    def require_whole(self) -> None:
        """Refuse slices that do not form a volume.

        Raises:
            VolumeError: for missing pixels, a position that is not stated, several patients or modalities, and slices
                at the same position.
        """
        for item in self.slices:
            if item.cut:
                raise VolumeError("pixels_missing", f"{item.cut} in {item.path.name}")
            if item.unplaced:
                raise VolumeError(
                    "unplaced_slices", f"no {', '.join(item.unplaced)} in {item.path.name}, or an impossible one"
                )
        for tag in ("patient", "modality"):
            several = len({item.tags[tag] for item in self.slices})
            if several > 1:
                raise VolumeError("mixed_slices", f"slices of {several} {NAMES[tag]} under one series")
        if self.doubled:
            raise VolumeError("doubled_slices", f"{self.doubled} slices at the position of another")

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along X, Y, Z as stored, and channels or frames if there are several."""
        size = self.slices[0].size
        return size if size[2] > 1 else (*size[:2], len(self.slices), *size[3:])

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel index to RAS mm (4, 4)."""
        first, last = self.slices[0], self.slices[-1]
        step = first.axes[:, 2] * first.spacing[2]
        if len(self.slices) > 1:  # not always along the normal: a tilted gantry shears the volume
            step = (last.place - first.place) / (len(self.slices) - 1)
        affine = np.eye(4)
        affine[:3, :3] = np.column_stack(
            [first.axes[:, 0] * first.spacing[0], first.axes[:, 1] * first.spacing[1], step]
        )
        affine[:3, 3] = first.place
        return np.asarray(LPS_TO_RAS @ affine)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, or claims to be by its name."""
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    if path.suffix.lower() in (".dcm", ".ima"):
        return True
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def holds_dicom(folder: Path) -> bool:
    """Whether a folder directly holds DICOM files."""
    return any(is_dicom(path) for path in folder.iterdir())


def read_slice(path: Path) -> Slice:
    """Tags and geometry of one file.

    Raises:
        ValueError: when GDCM cannot read it as an image.
    """
    itk = itk_alone()
    reader = itk.GDCMImageIO.New(FileName=str(path))
    try:
        readable = path.stat().st_size > 0 and reader.CanReadFile(str(path))
        if readable:
            reader.ReadImageInformation()
    except RuntimeError:
        readable = False
    if not readable:
        raise ValueError("not a DICOM image")
    content = reader.GetMetaDataDictionary()
    tags = {name: str(content[tag]).strip() if content.HasKey(tag) else "" for name, tag in DICOM_TAGS.items()}
    axes = np.array([reader.GetDirection(axis) for axis in range(3)]).T
    size = tuple(int(reader.GetDimensions(axis)) for axis in range(reader.GetNumberOfDimensions()))
    channels = reader.GetNumberOfComponents()
    place = np.array([reader.GetOrigin(axis) for axis in range(3)])
    spacing = tuple(float(reader.GetSpacing(axis)) for axis in range(3))
    unplaced, cut = [], None
    if size[2] == 1 and channels == 1:  # multi-frame files store these elsewhere
        stated = {name: str(content[tag]) if content.HasKey(tag) else "" for name, tag in PLACED.items()}
        unplaced = replaced_attributes(stated, axes, place, spacing)
        bits = int(str(content[BITS])) if content.HasKey(BITS) else 16
        cut = pixels_missing(path, math.prod(size) * bits // 8)
    return Slice(
        path, tags, axes, place, spacing, (*size, channels) if channels > 1 else size, tuple(unplaced), cut
    )  # fmt: skip


def find_series(folder: Path) -> list[Series]:
    """The series in a folder, the one with the most slices first.

    Raises:
        ValueError: naming a file that is not a DICOM image, or when there are none.
    """
    slices = []
    for path in sorted(folder.iterdir()):
        if is_dicom(path):
            try:
                slices.append(read_slice(path))
            except ValueError as error:
                raise ValueError(f"{path.name} is {error}") from error
    if not slices:
        raise ValueError("no DICOM images")
    slices.sort(key=lambda item: (str(item.series), item.depth))
    found = [Series(tuple(group)) for _, group in groupby(slices, key=lambda item: str(item.series))]
    return sorted(found, key=lambda series: -len(series.slices))


def read_series(folder: Path, most: int | None = None, **options: Any) -> Any:
    """A folder's largest series as an ITK image, in geometric order and without its tags.

    Args:
        folder: of the slices.
        most: the largest number of voxels; None for no limit.
        options: of ``itk.imread``.

    Raises:
        ValueError: when the folder holds no series.
        VolumeError: for slices that do not form a volume, or one with too many voxels.
    """
    itk = itk_alone()
    series = find_series(folder)[0]
    series.require_whole()
    if most is not None:
        require_size(series.shape, most)
    if len(series.shape) == 3:  # otherwise voxels are rounded to the type of the first slice
        options = {"pixel_type": itk.F} | options
    image = itk.imread([str(item.path) for item in series.slices], **options)
    columns = (LPS_TO_RAS @ series.affine)[:3, :3]  # ITK cannot represent shear
    sizes = np.linalg.norm(columns, axis=0)
    image.SetMetaDataDictionary(itk.MetaDataDictionary())  # patient data must not leave this function
    image.SetSpacing(sizes.tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(columns / sizes)))
    return image
