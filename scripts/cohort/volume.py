"""One volume: read through MONAI, reoriented to RAS, checked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage, Orientation
from numpy.typing import NDArray

from ..errors import SemclError
from ..finite import all_finite
from .case import Case, unlabelled
from .detached_headers import require_beside, require_inflated
from .header import read_header
from .label_table import LabelTable
from .nifti import is_nifti
from .pictures import is_photo, read_photo, with_channels
from .readers import NiftiReader, SeriesReader
from .volume_errors import (
    READER_FINDINGS,
    TOLERANCE,
    first_line,
    kind_of,
    max_voxels,
    require_file,
    require_place,
    require_size,
)

CASE = "case"  # key of a volume's meta data
TO_RAS = Orientation(axcodes="RAS", labels=None)


def load_stored(
    path: str | Path, indices: bool = False, most: int | None = None, canonical: bool = False
) -> MetaTensor:
    """Voxels (C, X, Y, Z) as stored, by MONAI's readers, of any value; a folder is read as a DICOM series.

    Args:
        path: of the file or folder.
        indices: read the indices of a picture with a palette instead of its colours, for label maps.
        most: the largest number of voxels; None when the header was already checked.
        canonical: NIfTI is reoriented to RAS as it is read, which saves a copy.

    Raises:
        VolumeError: for the kinds of ``READER_FINDINGS``; readers raise whatever they like for the rest.
    """
    folder = Path(path).is_dir()
    if not folder:
        require_file(Path(path))
        require_beside(Path(path))
        require_inflated(Path(path))
        if most is not None:
            require_size(read_header(Path(path)).shape, most)
    if is_photo(path):
        return read_photo(Path(path), indices)
    nifti = NiftiReader(as_closest_canonical=canonical) if is_nifti(path) else None
    reader = SeriesReader(most) if folder else nifti
    loaded: MetaTensor = _loader()(path, reader)  # without one MONAI tries others when the first fails
    return loaded


@cache
def _loader() -> LoadImage:
    """MONAI's loader, without its warning at each construction that a GPU decoder for pydicom is missing."""
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LoadImage(image_only=True, ensure_channel_first=True, dtype=np.float32)


def read(path: str | Path, case: str, channels: int = 1, indices: bool = False) -> MetaTensor:
    """Read a 3-D volume as a MetaTensor (C, X, Y, Z) in RAS; errors of ``read_stored``."""
    return cast(MetaTensor, TO_RAS(read_stored(path, case, channels, indices, canonical=True)))


def read_stored(
    path: str | Path, case: str, channels: int = 1, indices: bool = False, canonical: bool = False
) -> MetaTensor:
    """Read a 3-D volume, or a picture, as a MetaTensor (C, X, Y, Z) in its stored orientation.

    Args:
        path: of the file, or of a folder of DICOM slices.
        case: its case id.
        channels: C; a single channel of a picture is repeated.
        indices: as in ``load_stored``.
        canonical: as in ``load_stored``.

    Raises:
        SemclError: when the file is missing, cannot be read, is not 3-D, has other channels or holds NaN or infinite
            voxels.
    """
    if not Path(path).exists():
        raise SemclError(
            "a file of the datalist is missing",
            case=case,
            found=f"no {path}",
            expected=READER_FINDINGS["unreadable"].expected,
            remedy="restore the file, or run `python -m scripts prepare` again",
        )
    limit = max_voxels()
    try:
        volume = load_stored(path, indices, limit, canonical)
        require_place(np.asarray(volume.affine))
    except Exception as error:  # readers raise whatever they like
        kind = READER_FINDINGS[kind_of(error)]
        raise SemclError(
            kind.problem, case=case, found=f"{path}: {first_line(error)}", expected=kind.expected, remedy=kind.remedy
        ) from error
    if is_photo(path):
        volume = with_channels(volume, path, case, channels, indices)
    require_volume(volume, path, case, channels)
    volume.meta[CASE] = case
    return volume


def require_volume(volume: MetaTensor, source: str | Path, case: str | None, channels: int) -> None:
    """Check that a volume (C, X, Y, Z) of a file or of another source has its axes, channels and finite voxels.

    Raises:
        SemclError: otherwise.
    """
    if volume.ndim != 4 or volume.shape[0] != channels:
        raise SemclError(
            "a volume is not 3-D",
            case=case,
            found=f"{source} of shape {tuple(volume.shape[1:])} with {volume.shape[0]} channels",
            expected="three axes, one channel" if channels == 1 else f"{channels} channels of three axes",
            remedy="split the file into one 3-D volume per case" if channels == 1 else "correct image_channels",
        )
    if not all_finite(volume.as_tensor()):
        raise SemclError(
            "a volume holds voxels that are not finite",
            case=case,
            found=f"NaN or infinity in {source}",
            expected="finite voxels",
            remedy="export the file again, or replace these voxels by the value of air",
        )


def read_objects(
    path: str | Path, image: MetaTensor, case: str, table: LabelTable, like: str = "image"
) -> NDArray[np.int16]:
    """Read a label map that lies on the voxels of ``image`` as object numbers -1..K (X, Y, Z), both in RAS.

    ``like`` is what ``image`` is called in errors.

    Raises:
        SemclError: when shape or affine differ from the image's, or a value is not in the table.
    """
    label = read(path, case, indices=True)
    remedy = f"resample {path} onto the {like}, or take the case out of the cohort"
    if label.shape[1:] != image.shape[1:]:
        found = f"{like} {_by(image.shape[1:])}, {Path(path).name} {_by(label.shape[1:])} voxels (in RAS)"
        raise SemclError(
            f"{like} and label map differ in shape", case=case, found=found, expected="the same shape", remedy=remedy
        )
    apart = float((label.affine - image.affine).abs().max())
    if apart > TOLERANCE:
        found = f"affines that differ by up to {apart:.3g} mm"
        expected = f"the same affine within {TOLERANCE} mm"
        raise SemclError(
            f"{like} and label map differ in position", case=case, found=found, expected=expected, remedy=remedy
        )
    return table.encode(label[0].numpy(), case, path)


def read_label(case: Case, image: MetaTensor, table: LabelTable) -> NDArray[np.int16]:
    """Object numbers (X, Y, Z) of a case's label map; errors of ``read_objects``, and one when it has none."""
    if case.label is None:
        raise unlabelled(case)
    return read_objects(case.label, image, case.id, table)


def case_of(image: torch.Tensor) -> str | None:
    """The case id of a volume from ``read_stored``, alone or as a batch of one; None when unknown."""
    noted: Any = image.meta.get(CASE) if isinstance(image, MetaTensor) else None
    known: str | None = noted[0] if isinstance(noted, list | tuple) else noted
    return known


def spacing(image: MetaTensor) -> list[float]:
    """Voxel size (mm) along each axis."""
    return [float(size) for size in image.pixdim]


def _by(shape: Sequence[Any]) -> str:
    return " x ".join(str(int(size)) for size in shape)
