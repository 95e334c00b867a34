"""Label maps of other tools as attention maps: on the scan's voxels, with the cohort's organs, and checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch
from numpy.typing import NDArray

from ..cohort.label_table import LabelTable
from ..cohort.volume import case_of, read
from ..errors import SemclError
from .findings import Finding
from .tool_layout import masks_in
from .tool_names import same_organs
from .voxels import inspect_objects

ENOUGH_COVERED = 0.5  # of a scan
TOOL_NAMES_SHOWN = 5


@dataclass(frozen=True)
class ToolMap:
    """A map of another tool on a scan's voxels.

    Args:
        objects: object numbers (X, Y, Z) in RAS.
        findings: what the checks of label maps found in it.
        unused: the tool's names or numbers that are no organ of the table.
    """

    objects: NDArray[np.int16]
    findings: list[Finding]
    unused: list[str]


def read_map(image: MetaTensor, path: Path, numbers: Mapping[int, str], table: LabelTable) -> ToolMap:
    """Read the map of a scan (C, X, Y, Z; RAS) from a file of numbers, or a folder of masks named after organs.

    Raises:
        SemclError: when a file cannot be read, the map covers less than half of the scan, or its
            numbers are none of the organs.
    """
    case, names = str(case_of(image)), masks_in(path)
    organs = same_organs(names or numbers.values(), table)
    if names and not organs:  # a tool may write masks of what it found alone
        print(f"case {case}: no mask in {path} has the name of an organ of the label table", file=sys.stderr)
    elif not organs:
        known = list(numbers.values())
        raise SemclError(
            "nothing in the map of another tool is an organ of the label table",
            case=case,
            found=f"{', '.join(known[:TOOL_NAMES_SHOWN])}{', ...' if len(known) > TOOL_NAMES_SHOWN else ''} of {path}",
            expected=f"names such as {', '.join(table.names[:TOOL_NAMES_SHOWN])}",
            remedy="set tool_names, rename the label table's organs, or leave the map out",
        )
    objects, unused, covered = np.zeros(image.shape[1:], np.int16), list[str](), 1.0
    parts = list(names.items()) if names else [("", path)]
    for name, file in parts:
        if names and name not in organs:
            unused.append(name)
            continue
        voxels, covered = _on_scan(read(file, case, 1, indices=True), image)
        values = {0: "", 1: name} if names else numbers
        for value in np.unique(voxels[voxels != 0]).astype(int).tolist():
            organ = organs.get(name if names else values.get(value, ""))
            if organ is None:
                unused.append(str(values.get(value, value)))
            else:
                objects[voxels != 0 if names else voxels == value] = table.names.index(organ) + 1
    if covered < ENOUGH_COVERED:
        raise SemclError(
            "the map of another tool lies elsewhere than the scan",
            case=case,
            found=f"{covered:.0%} of the scan's voxels within {path}",
            expected=f"at least {ENOUGH_COVERED:.0%}",
            remedy="make it from this scan, in its geometry",
        )
    seen = inspect_objects(objects, np.asarray(image.affine), case, table, tuple(organs.values()))
    return ToolMap(objects, seen.findings, unused)


def _on_scan(label: MetaTensor, image: MetaTensor) -> tuple[NDArray[np.int64], float]:
    """A label map (1, X, Y, Z) on the voxels of a scan (C, X, Y, Z) by their positions in mm, and the share reached."""
    match = ResampleToMatch(mode="nearest", padding_mode="zeros")
    inside = MetaTensor(torch.ones_like(label.as_tensor(), dtype=torch.float32), affine=label.affine)
    moved = match(MetaTensor(label.as_tensor().float(), affine=label.affine), image)
    voxels: NDArray[np.int64] = np.asarray(moved)[0].round().astype(np.int64)
    return voxels, float(np.asarray(match(inside, image)).mean())
