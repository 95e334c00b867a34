"""One mask file per organ, as TotalSegmentator writes them, merged into one label map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cohort.label_table import LabelTable
from ..cohort.volume import load_canonical


def words(name: str) -> frozenset[str]:
    """The words of a name, so that kidney_right equals right_kidney."""
    return frozenset(re.findall(r"[a-z]+|\d+", name.lower()))


def masks_of(masks: Sequence[tuple[str, Path]], table: LabelTable) -> dict[str, Path]:
    """Organ of the table -> its mask file, in the table's order; without organs that have none, and other files."""
    known = {words(name): path for name, path in masks}
    return {name: known[words(name)] for name in table.names if words(name) in known}


def merge(masks: dict[str, Path], table: LabelTable) -> tuple[NDArray[np.int16], int]:
    """Object numbers (X, Y, Z) in RAS, and the number of voxels in several masks, which go to the later organ."""
    merged = np.zeros((0, 0, 0), np.int16)
    overlap = 0
    for name, path in masks.items():
        inside = load_canonical(path, indices=True)[0].numpy() > 0
        if not merged.size:
            merged = np.zeros(inside.shape, np.int16)
        overlap += int((merged[inside] > 0).sum())
        merged[inside] = table.names.index(name) + 1
    return merged, overlap
