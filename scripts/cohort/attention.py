"""Attention maps: one coarse label map per case as NIfTI, from the coarse network or any other source."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from ..errors import SemclError
from ..files import write_volume
from ..printable import counted
from .canonical import compact, reoriented
from .case import Case
from .label_table import LabelTable
from .volume import read_objects

MADE_OF = re.compile("made of voxels ([0-9a-f]{8})(?: by ([0-9a-f]+))?")  # the note in a map's header
SAMPLED = 64  # planes along each axis, or up to twice as many, that this checksum is of


def attention_path(folder: str | Path, case: str) -> Path:
    """Path of the attention map of a case."""
    return Path(folder) / f"{case}.nii.gz"


def write_label_map(
    path: Path, objects: torch.Tensor | NDArray[Any], image: MetaTensor, table: LabelTable, maker: str = ""
) -> None:
    """Write objects (X, Y, Z), on the voxels of ``image`` (RAS), with the cohort's indices and the axes of its file.

    The file's description says of which voxels it was made, for ``read_attention``, and by which ``maker``, if given.
    """
    note = f"made of voxels {voxels_checksum(image)}" + (f" by {maker}" if maker else "")
    write_volume(path, stored_indices(objects, image, table), stored_affine(image), note)


def made_of(path: Path) -> tuple[str, str] | None:
    """The checksum of the voxels that a map says it was made of, and its maker; empty where it says nothing.

    None for a file that cannot be read.
    """
    try:
        header: Any = nib.load(path).header
    except (OSError, EOFError, nib.filebasedimages.ImageFileError):
        return None
    found = MADE_OF.fullmatch(bytes(header["descrip"]).rstrip(b"\0").decode(errors="replace"))
    return (found[1], found[2] or "") if found else ("", "")


def voxels_checksum(image: MetaTensor) -> str:
    """CRC-32 of a scan (C, X, Y, Z) in RAS, of at least ``SAMPLED`` planes along each axis where there are as many."""
    steps = [slice(None, None, max(1, size // SAMPLED)) for size in image.shape[1:]]
    sampled = image.as_tensor()[(slice(None), *steps)].float()
    return f"{zlib.crc32(sampled.contiguous().cpu().numpy().tobytes()):08x}"


def stored_indices(objects: torch.Tensor | NDArray[Any], image: MetaTensor, table: LabelTable) -> NDArray[Any]:
    """The cohort's indices (X, Y, Z) of objects on the voxels of ``image`` (RAS), with the axes of the image's file."""
    return compact(table.decode(as_stored(objects, image)))


def stored_affine(image: MetaTensor) -> NDArray[np.float64]:
    """Voxel to mm (RAS) of the file an image was read from."""
    return np.asarray(image.meta["original_affine"], np.float64)


def as_stored(objects: torch.Tensor | NDArray[Any], image: MetaTensor) -> NDArray[Any]:
    """Objects (X, Y, Z) on the voxels of ``image`` (RAS), with the axes of the file it was read from."""
    numbers = objects.cpu().numpy() if isinstance(objects, torch.Tensor) else objects
    return reoriented(numbers, np.asarray(image.affine), stored_affine(image))


def read_attention(path: Path, image: MetaTensor, case: str, table: LabelTable) -> torch.Tensor:
    """Object numbers 0..K (X, Y, Z) of an attention map on the voxels of ``image`` (C, X, Y, Z), both in RAS.

    Ignored voxels become background: attention only marks where to search.

    Raises:
        SemclError: as ``read_objects``; when the map says that it was made of a scan with other voxels, as one does
            whose scan was exported anew.
    """
    objects = torch.from_numpy(read_objects(path, image, case, table)).clamp_min_(0)
    made = made_of(path)
    if made and made[0] and made[0] != voxels_checksum(image):
        raise SemclError(
            "an attention map was made of another scan",
            case=case,
            found=f"{path}, whose scan had other voxels than the one of this name has now",
            expected="a map of this scan",
            remedy=f"remove {path}, and run maps.yaml to make it anew",
        )
    return objects


def require_attention(cases: Sequence[Case], folder: str | Path) -> None:
    """Check that each case has an attention map.

    Raises:
        SemclError: naming the first case without one.
    """
    missing = [case.id for case in cases if not attention_path(folder, case.id).is_file()]
    if missing:
        raise SemclError(
            "attention maps are missing",
            case=missing[0],
            found=f"{len(missing)} of {counted(len(cases), 'case')} without a file in {folder}",
            expected="a label map <case>.nii.gz for each",
            remedy="run coarse.yaml first, or point --attention_dir at maps made elsewhere",
        )
