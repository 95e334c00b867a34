"""Attention maps: a coarse label map a case, from the coarse network or from anywhere else, as NIfTI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform
from numpy.typing import NDArray

from ..errors import SemclError
from ..files import write_volume
from .datalist import Case
from .labels import LabelTable


def attention_path(folder: str | Path, case: str) -> Path:
    """Where the attention map of a case lies."""
    return Path(folder) / f"{case}.nii.gz"


def write_label_map(path: Path, objects: torch.Tensor | NDArray[Any], image: MetaTensor, table: LabelTable) -> None:
    """Write objects (X, Y, Z) on the voxels of ``image`` (RAS) as the image is stored, with the cohort's indices."""
    indices = table.decode(as_stored(objects, image))
    small = np.uint8 if indices.max(initial=0) < 256 else np.uint16
    write_volume(path, indices.astype(small), np.asarray(image.meta["original_affine"], np.float64))


def as_stored(objects: torch.Tensor | NDArray[Any], image: MetaTensor) -> NDArray[Any]:
    """Objects (X, Y, Z) on the voxels of ``image`` (RAS), with the axes of the file it was read from."""
    numbers = objects.cpu().numpy() if isinstance(objects, torch.Tensor) else objects
    stored = io_orientation(np.asarray(image.meta["original_affine"], np.float64))
    turned: NDArray[Any] = apply_orientation(numbers, ornt_transform(io_orientation(np.asarray(image.affine)), stored))
    return turned


def require_attention(cases: Sequence[Case], folder: str | Path) -> None:
    """Check that each case has an attention map.

    Raises:
        SemclError: naming the first case without.
    """
    missing = [case.case for case in cases if not attention_path(folder, case.case).is_file()]
    if missing:
        raise SemclError(
            "attention maps are missing",
            case=missing[0],
            found=f"{len(missing)} of {len(cases)} cases without a file in {folder}",
            expected="a label map <case>.nii.gz for each",
            remedy="run coarse.yaml first, or point --attention_dir at maps made elsewhere",
        )
