"""A draft of a label table: from dataset.json, from the names of masks, or from the values of label maps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..bars import bar
from ..cohort.canonical import read_canonical
from ..cohort.label_table import LabelTable
from ..cohort.volume_errors import VolumeError
from ..cohort.volume_files import volumes
from ..errors import SemclError
from ..names import shown
from ..plain import read_json
from ..printable import counted, printable
from .layouts import totalsegmentator
from .layouts.folders import LABEL_FOLDERS

DATASET = "dataset.json"
IGNORE_NAME = "ignore"  # nnU-Net's name of the label of ignored voxels
YAML_WORDS = {"yes", "no", "on", "off", "true", "false", "null"}  # read as something else
JSON_LABELS = "`labels` with a name and a whole number each, as the Decathlon and nnU-Net have them"


@dataclass(frozen=True)
class Draft:
    """Organs for a label table.

    Args:
        organs: name -> index.
        source: what they were taken from, in words.
        ignore: index of ignored voxels, if the source names one.
    """

    organs: dict[str, int]
    source: str
    ignore: int | None = None

    def text(self, phases: Iterable[str] = ()) -> str:
        """The draft as labels.yaml.

        Args:
            phases: of the scans; without any the table has none.

        Raises:
            SemclError: where names or indices are none that a label table can have.
        """
        stated = {"phases": list(phases)} if phases else {}
        ignored = {} if self.ignore is None else {"ignore": self.ignore}
        organs = {name: {"index": index} for name, index in self.organs.items()}
        table = LabelTable.parse({**stated, "organs": organs, **ignored}, "the draft")
        partner = {organ.name: organ.partner for organ in table.organs}
        lines = [
            f"# A draft from {printable(self.source)}. Correct the names, and remove the organs that are not wanted:",
            "# `others: background` or `others: ignore` then says what becomes of their labels.",
            "organs:",
            *(f"  {_quoted(name)}: {_entry(index, partner[name])}" for name, index in self.organs.items()),
            *([f"phases: [{', '.join(map(_quoted, table.phases))}]"] if stated else []),
            *([f"ignore: {self.ignore}"] if ignored else []),
        ]
        return "\n".join(lines) + "\n"


def draft(source: Path, numbers: Mapping[int, str] | None = None) -> Draft:
    """Draft a label table.

    Args:
        source: a dataset.json, or the folder of one; a folder of masks, one an organ, or of such folders, one a scan;
            a label map, or a folder of them.
        numbers: names of the values of label maps; the others are called label_<value>.

    Raises:
        SemclError: when there is nothing of these, or it names no organs.
    """
    if source.suffix == ".json" or (source / DATASET).is_file():
        return _from_json(source if source.suffix == ".json" else source / DATASET)
    subjects = totalsegmentator.find(source, None) if source.is_dir() else None
    if subjects:
        masks = {name for scan in subjects[0] for name, _ in scan.masks}
        return _from_masks(masks, f"the masks of {counted(len(subjects[0]), 'scan')} in {source}")
    home = next((source / name for name in LABEL_FOLDERS if (source / name).is_dir()), source)
    found = volumes(home) if home.is_dir() else {home.name: home} if home.is_file() else {}
    if not found:
        raise SemclError(
            "there is nothing to draft a label table from",
            found=f"no {DATASET} and no volumes in {source}" if source.is_dir() else f"no {source}",
            expected=f"{DATASET}, a folder of masks named after organs, or one or more label maps",
            remedy="set --from",
        )
    values = {name: label_values(_voxels(path), path, name, "--from") for name, path in _shown(found)}
    if len(found) > 1 and all(len(some) <= 1 for some in values.values()) and _differ(found):
        return _from_masks(found, f"the names of {counted(len(found), 'mask')} in {home}")
    known = numbers or {}
    organs = _numbered(
        (known.get(value, f"label_{value}"), value) for value in sorted(set[int]().union(*values.values()))
    )
    return Draft(_some(organs, home), f"the values of {counted(len(found), 'label map')} in {home}")


def label_values(voxels: ArrayLike, path: Path, case: str, option: str) -> set[int]:
    """The values of a label map but 0.

    Args:
        voxels: its voxels.
        path: of its file.
        case: whose it is.
        option: that gave the file, for the remedy.

    Raises:
        SemclError: for values that are not whole numbers from 0.
    """
    found = np.unique(np.asarray(voxels))
    odd = found[(found < 0) | (found != found.round())]
    if odd.size:
        raise SemclError(
            "a label map holds values that are not labels",
            case=case,
            found=", ".join(f"{value:g}" for value in odd[:5]),
            expected=f"whole numbers from 0 in {path}",
            remedy=f"point {option} at label maps, not at images or probabilities",
        )
    return {int(value) for value in found} - {0}


def _from_json(path: Path) -> Draft:
    """The organs of a dataset.json: number -> name in the Decathlon's, name -> number in nnU-Net's."""
    content: Any = read_json(path, JSON_LABELS)
    listed = content.get("labels") if isinstance(content, dict) else None
    pairs = list(listed.items()) if isinstance(listed, dict) else []
    turned = [(value, key) if str(key).isdecimal() else (key, value) for key, value in pairs]
    if not turned or not all(isinstance(name, str) and str(number).isdecimal() for name, number in turned):
        raise SemclError(
            f"{DATASET} does not name organs",
            found=f"{path} with labels {str(listed)[:100]}",
            expected=JSON_LABELS,
            remedy="give --from the label maps: regions of several labels are no organs",
        )
    numbers = _numbered((name, int(number)) for name, number in turned)
    ignore = numbers.pop(IGNORE_NAME, None)
    return Draft(_some({name: number for name, number in numbers.items() if number}, path), str(path), ignore)


def _from_masks(names: Iterable[str], source: str) -> Draft:
    ordered = sorted(names, key=_name)
    return Draft(_some(_numbered((name, number) for number, name in enumerate(ordered, start=1)), source), source)


def _some(organs: dict[str, int], source: object) -> dict[str, int]:
    if not organs:
        raise SemclError(
            "there is nothing to draft a label table from",
            found=f"no organ in {source}",
            expected="at least one",
            remedy="set --from",
        )
    return organs


def _voxels(path: Path) -> np.ndarray:
    try:
        return read_canonical(path, indices=True).voxels
    except Exception as error:  # readers raise whatever they like
        why = error if isinstance(error, VolumeError) else type(error).__name__
        raise SemclError(
            "a volume cannot be read", found=f"{path}: {why}", expected="a label map", remedy="run check on it"
        ) from error


def _shown(found: Mapping[str, Path]) -> Iterable[tuple[str, Path]]:
    yield from bar(found.items(), total=len(found), title="label maps", unit="file")


def _differ(names: Iterable[str]) -> bool:
    """Whether names differ in more than a number: masks are named after organs, label maps after cases."""
    return len({re.sub(r"\d+", "", name) for name in names}) > 1


def _name(text: str) -> str:
    """An organ's name without blanks, which would separate names in a table of cases."""
    return re.sub(r"\W+", "_", text).strip("_").lower()


def _numbered(organs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Name -> number of organs, whose names become those of a label table.

    Raises:
        SemclError: when two become the same: one of them would be lost.
    """
    first: dict[str, tuple[str, int]] = {}
    for given, number in organs:
        name = _name(given)
        earlier, its_number = first.setdefault(name, (given, number))
        if its_number != number:
            raise SemclError(
                "two organs of one name in a label table",
                found=f"{shown(earlier)} ({its_number}) and {shown(given)} ({number}), which both become {shown(name)}",
                expected="names that differ in letters or digits",
                remedy="rename one of them where they are given",
            )
    return {name: number for name, (_, number) in first.items()}


def _entry(index: int, partner: str | None) -> str:
    return f"{{index: {index}{f', partner: {_quoted(partner)}' if partner else ''}}}"


def _quoted(name: str) -> str:
    """A name as YAML, in quotes where it would be read as something else."""
    return name if re.fullmatch(r"[a-z][a-z0-9_]*", name) and name not in YAML_WORDS else f'"{name}"'
