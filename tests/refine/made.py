"""What the tests of inference share: its transforms, as inference.yaml lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, EnsureChannelFirstd, EnsureTyped, Orientationd

from scripts.cohort.label_table import LabelTable
from scripts.refine.volumes import CheckedLoadImaged, LoadAttentiond, ToStoredLabelsd


def preprocessing(table: LabelTable, attention: Path | str = "nowhere") -> Compose:
    """From {"image": path} to image and attention in RAS."""
    return Compose([
        CheckedLoadImaged("image"),
        EnsureChannelFirstd("image"),
        EnsureTyped("image", dtype=torch.float32),
        Orientationd("image", axcodes="RAS", labels=None),
        LoadAttentiond("attention", "image", table, str(attention)),
    ])  # fmt: skip


def read_scan(data: dict[str, Any], table: LabelTable, attention: Path | str = "nowhere") -> dict[str, Any]:
    """A scan through these transforms, one by one, so that their errors are not wrapped."""
    for transform in preprocessing(table, attention).transforms:
        data = transform(data)
    return data


def to_stored(data: dict[str, Any], table: LabelTable) -> Any:
    """The prediction as label numbers on the scan's voxels."""
    return ToStoredLabelsd("pred", "image", table)(data)["pred"]
