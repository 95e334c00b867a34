"""Files made from those of Auto3DSeg's datalist: modalities in one file, and label maps of groups of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from ..cohort.case import Case
from ..cohort.volume import read_stored
from ..cohort.volume_errors import TOLERANCE
from ..errors import SemclError
from ..files import write_volume
from ..freshness import newer


def read_modalities(files: Sequence[Path], case: str, channels: int) -> MetaTensor:
    """The channels (C, X, Y, Z) of an image, as stored: of one file, or of one after the other.

    Args:
        files: of the image; several have one channel each.
        case: its id, for errors.
        channels: C.

    Raises:
        SemclError: errors of ``read_stored``; and for files that do not lie on the same voxels.
    """
    if len(files) == 1:
        return read_stored(files[0], case, channels)
    volumes = [read_stored(file, case) for file in files]
    for file, volume in zip(files, volumes, strict=True):
        apart = float((volume.affine - volumes[0].affine).abs().max())
        if volume.shape != volumes[0].shape or apart > TOLERANCE:
            raise SemclError(
                "modalities of a case do not lie on the same voxels",
                case=case,
                found=f"{file} of shape {tuple(volume.shape[1:])}, {apart:.3g} mm from {files[0]}, "
                f"of shape {tuple(volumes[0].shape[1:])}",
                expected="the same shape and affine",
                remedy=f"resample one onto the other, or leave {file.name} out",
            )
    return MetaTensor(torch.cat([volume.as_tensor() for volume in volumes]), meta=volumes[0].meta)


def stack_modalities(files: Sequence[Path], path: Path, case: str) -> Path:
    """The file with all modalities of a case: ``path``, written where it is missing or older than they are."""
    if not newer(path, files):
        image = read_modalities(files, case, len(files))
        write_volume(path, image.movedim(0, -1).numpy(), np.asarray(image.meta["original_affine"]))
    return path


def group_labels(case: Case, groups: Sequence[Sequence[int]], path: Path) -> Path:
    """The label map of a case with the labels of each group as 1, 2, ..., others as background; as the former."""
    source = case.label
    if source is not None and not newer(path, [source]):
        label = read_stored(source, case.id, indices=True)
        numbers = np.zeros(label.shape[1:], np.uint8)
        for number, labels in enumerate(groups, start=1):
            numbers[np.isin(label[0].numpy(), labels)] = number
        write_volume(path, numbers, np.asarray(label.meta["original_affine"]))
    return path
