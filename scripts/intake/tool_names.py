"""Organ names of other tools, and which organ of a label table each means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..cohort.label_table import LabelTable
from ..errors import SemclError
from ..plain import read_yaml
from .organ_masks import words

FOLDER = Path(__file__).parent / "names"
MEANS = {  # a word of a name -> the words it stands for
    "l": {"left"},
    "r": {"right"},
    "lt": {"left"},
    "rt": {"right"},
    "oesophagus": {"esophagus"},
    "bladder": {"urinary", "bladder"},
    "postcava": {"inferior", "vena", "cava"},
    "ivc": {"inferior", "vena", "cava"},
    "gland": set[str](),
    "glands": set[str](),
}


def meaning(name: str) -> frozenset[str]:
    """The words of an organ's name, in any order, with the usual synonyms replaced.

    >>> meaning("R adrenal") == meaning("adrenal_gland_right")
    True
    """
    found = words(name)
    if {"gall", "bladder"} <= found:
        found = found - {"gall", "bladder"} | {"gallbladder"}
    return frozenset(part for word in found for part in MEANS.get(word, {word}))


def read_numbers(names: str) -> dict[int, str]:
    """Number -> organ name of a tool's label maps, by the name of a tool that is known or from a file of one's own.

    Raises:
        SemclError: for a file that is not such a table, or does not exist.
    """
    known = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    path = known.get(names, Path(names))
    expected = f"{', '.join(known)}, or a YAML file with lines such as `5: liver`"
    content: Any = read_yaml(path, expected) if path.is_file() else None
    wrong = not isinstance(content, dict) or not content
    if wrong or not all(isinstance(key, int) and key > 0 and isinstance(value, str) for key, value in content.items()):
        raise SemclError(
            "names of a tool's labels cannot be used",
            found=f"{path} with other content" if path.is_file() else f"no file {names}",
            expected=expected,
            remedy="set --names",
        )
    return dict(content)


def same_organs(names: Iterable[str], table: LabelTable) -> dict[str, str]:
    """A tool's name -> the organ of the table it means, where there is one.

    Raises:
        SemclError: when two names mean the same organ.
    """
    organs = {meaning(organ): organ for organ in table.names}
    found = {name: organs[meaning(name)] for name in names if meaning(name) in organs}
    twice = _repeated(found)
    if twice:
        raise SemclError(
            "two names of a tool mean the same organ",
            found=f"{' and '.join(name for name in found if found[name] == twice)} for {twice}",
            expected="one each",
            remedy="leave one out of --names",
        )
    return found


def _repeated(found: Mapping[str, str]) -> str | None:
    values = list(found.values())
    return next((value for value in values if values.count(value) > 1), None)
