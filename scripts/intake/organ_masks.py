"""One mask file per organ, as TotalSegmentator writes them, merged into one label map."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..cohort.canonical import read_canonical
from ..cohort.label_table import LabelTable
from ..errors import SemclError

SHOWN = 5  # values of a mask, in a finding
WORD = re.compile(r"[^\W\d_]+|\d+")
Named = TypeVar("Named")


def words(name: str) -> frozenset[str]:
    """The words and numbers of a name, in any script, so that kidney_right equals right_kidney."""
    return frozenset(_in_order(name))


def masks_of(masks: Sequence[tuple[str, Path]], table: LabelTable) -> dict[str, Path]:
    """Organ of the table -> its mask file, in the table's order; without organs that have none, and other files.

    Raises:
        SemclError: where two files, or two organs, have the same words, so that one would take the other's place.
    """
    organs = _by_words((name, name) for name in table.names)
    known = _by_words((name, path) for name, path in masks if _in_order(name) in organs)
    return {name: known[key] for key, name in organs.items() if key in known}


def _by_words(named: Iterable[tuple[str, Named]]) -> dict[tuple[str, ...], Named]:
    """What is named, by the words of its name."""
    found: dict[tuple[str, ...], Named] = {}
    for name, one in named:
        key = _in_order(name)
        if key in found:
            raise SemclError(
                "two names of organs have the same words",
                found=f"{found[key]} and {one}",
                expected="names that differ in more than the order of their words",
                remedy="rename or remove one of them",
            )
        found[key] = one
    return found


def _in_order(name: str) -> tuple[str, ...]:
    """The words and numbers of a name, sorted, each as often as it is there."""
    return tuple(sorted(WORD.findall(name.casefold()) or [name]))


@dataclass(frozen=True)
class Merged:
    """Masks as one label map.

    Args:
        objects: object numbers (X, Y, Z) in RAS.
        overlap: number of voxels in several masks, which go to the later organ.
        odd: mask file -> its values, for masks that are not 0 and one whole number.
    """

    objects: NDArray[np.int16]
    overlap: int
    odd: dict[Path, str]


def merge(masks: dict[str, Path], table: LabelTable) -> Merged:
    """Merge the mask files of organs, in the table's order."""
    merged = np.zeros((0, 0, 0), np.int16)
    overlap, odd = 0, dict[Path, str]()
    for name, path in masks.items():
        voxels = read_canonical(path, indices=True).voxels[0]
        inside = voxels > 0
        if strange := _strange(voxels[voxels != 0]):
            odd[path] = strange
        if not merged.size:
            merged = np.zeros(inside.shape, np.int16)
        overlap += int((merged[inside] > 0).sum())
        merged[inside] = table.names.index(name) + 1
    return Merged(merged, overlap, odd)


def _strange(values: NDArray[Any]) -> str | None:
    """The values of a mask besides 0, where they are not one whole number above 0."""
    if not values.size or (values.min() == values.max() and values[0] > 0 and values[0] == np.round(values[0])):
        return None
    found = np.unique(values)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"0, {', '.join(f'{value:g}' for value in found[:SHOWN])}{more}"
