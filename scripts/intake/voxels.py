"""Checks of the voxels of one case: intensities of its image, organs of its label map."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..cohort.canonical import read_canonical
from ..cohort.components import boxes
from ..cohort.label_table import LabelTable
from ..cohort.label_table_checks import IGNORED_INDEX
from ..cohort.volume_errors import kind_of
from ..cohort.volume_files import SAMPLE
from .findings import Finding
from .header_checks import identifying, plain

AIR_OR_FAT, TISSUE, LOWEST = -50, 50, -5000  # HU
FEW_VOXELS = 10
MANY_COMPONENTS = 10


@dataclass
class Seen:
    """Findings of a case, and what it is compared with other cases by.

    Args:
        findings: of this case.
        digest: hash of the image's voxels in RAS.
        spread: 1st to 99th percentile of the image.
        sizes: organ -> volume (mm3), for organs that are not cut off by the border.
        values: those of its label map, without background and ignored voxels.
    """

    findings: list[Finding] = field(default_factory=list)
    digest: str | None = None
    spread: float = 0.0
    sizes: dict[str, float] = field(default_factory=dict)
    values: frozenset[int] = frozenset()


def inspect_image(path: Path, case: str, modality: str) -> Seen:
    """Read an image and check its intensities."""
    seen = Seen()

    def add(name: str, found: str) -> None:
        seen.findings.append(Finding(case, name, f"image {path}: {found}", identifying(path)))

    try:
        voxels = read_canonical(path).voxels
    except Exception as error:  # readers raise whatever they like
        add(kind_of(error), plain(error, path))
        return seen
    low, high = float(voxels.min()), float(voxels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        add("not_finite", f"{int((~np.isfinite(voxels)).sum())} voxels of NaN or infinity")
        return seen
    if low == high:
        add("constant_image", f"every voxel is {low:g}")
        return seen
    if modality == "CT" and (low > AIR_OR_FAT or high < TISSUE or low < LOWEST):
        add("hu_implausible", f"values from {low:g} to {high:g}")
    seen.digest = hashlib.sha256(repr(voxels.shape).encode() + np.ascontiguousarray(voxels).tobytes()).hexdigest()
    first, last = np.percentile(voxels.ravel()[:: max(1, voxels.size // SAMPLE)], (1, 99))
    seen.spread = float(last - first)
    return seen


def inspect_label(path: Path, case: str, table: LabelTable | None, annotated: Sequence[str] | None) -> Seen:
    """Read a label map and check its organs; without a table only its values."""
    seen = Seen()

    def add(name: str, found: str) -> None:
        seen.findings.append(Finding(case, name, f"label map {path}: {found}", identifying(path)))

    try:
        volume = read_canonical(path, indices=True)
    except Exception as error:  # readers raise whatever they like
        add(kind_of(error), plain(error, path))
        return seen
    if len(volume.voxels) > 1:
        add("label_of_colours", f"{len(volume.voxels)} channels")
        return seen
    values = volume.voxels[0]
    fractional = ~(np.isfinite(values) & (values == np.round(values)))
    if fractional.any():
        add("label_not_integer", f"{int(fractional.sum())} voxels, such as {values[fractional][0]:g}")
        return seen
    held = {int(value) for value in np.unique(values)} - {0, table.ignore if table else IGNORED_INDEX}
    seen.values = frozenset(held)
    if table and table.others:
        held &= {organ.index for organ in table.organs}
    if not held:
        add("label_empty", "no organ of the table" if table and table.others else "0 everywhere")
    if table is None or not held:
        return seen
    strange = sorted(held - {organ.index for organ in table.organs})
    if strange:
        named = ", ".join(map(str, strange[:10])) + (" ..." if len(strange) > 10 else "")
        expected = f"0 or one of {', '.join(str(organ.index) for organ in table.organs)}"
        seen.findings.append(Finding(case, "label_outside_table", f"{named} in {path}", (path,), expected=expected))
        return seen
    objects = table.encode(values, case)
    return replace(inspect_objects(objects, volume.affine, case, table, annotated), values=seen.values)


def inspect_objects(
    objects: NDArray[np.int16], affine: NDArray[Any], case: str, table: LabelTable, annotated: Sequence[str] | None
) -> Seen:
    """Check the organs of a map of object numbers (X, Y, Z) in RAS with its affine (mm)."""
    seen = Seen()
    centres: dict[str, float] = {}
    size = abs(np.linalg.det(affine[:3, :3]))
    for number, (name, box) in enumerate(zip(table.names, boxes(objects, len(table)), strict=True), start=1):
        if box is None:
            if annotated is None or name in annotated:
                seen.findings.append(Finding(case, "organ_absent", name))
            continue
        inside = objects[box] == number
        count, components = int(inside.sum()), ndimage.label(inside, ndimage.generate_binary_structure(3, 3))[1]
        whole = all(part.start > 0 and part.stop < end for part, end in zip(box, objects.shape, strict=True))
        if whole and count < FEW_VOXELS:
            seen.findings.append(Finding(case, "organ_small", f"{name} of {count} voxels"))
        elif whole:
            seen.sizes[name] = count * float(size)
        if components > MANY_COMPONENTS:
            seen.findings.append(Finding(case, "organ_in_pieces", f"{name} in {components} pieces"))
        corner = np.array([part.start for part in box])
        centres[name] = float((affine @ [*(corner + np.argwhere(inside).mean(axis=0)), 1])[0])
    seen.findings += _swapped(centres, case, table)
    return seen


def _swapped(centres: dict[str, float], case: str, table: LabelTable) -> list[Finding]:
    """Partners named right and left whose centres (x in RAS mm, which grows to the patient's right) are swapped."""
    found = []
    for organ in table.organs:
        partner = organ.partner
        if (
            "right" in organ.name.lower()
            and partner
            and "left" in partner.lower()
            and {organ.name, partner} <= set(centres)
        ):
            over = centres[partner] - centres[organ.name]
            if over > 0:
                found.append(Finding(case, "sides_swapped", f"{partner} {over:.3g} mm further right than {organ.name}"))
    return found
