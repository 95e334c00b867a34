"""The table of cases: a CSV of cases, patients and phases, and of paths when it lists them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SemclError, raise_all
from ..plain import short
from ..printable import in_words
from ..spreadsheet import read_csv

TEST = "test"  # in column fold
OTHER_WORDS_FOR_FOLD = {"set", "split", "subset", "partition"}
CLOSE = 0.85  # similarity of a misspelt name


@dataclass(frozen=True)
class CaseRow:
    """A row: the case, its patient and, if the columns exist, phase, paths, fold and annotated organs.

    ``fold`` is a number, or "test"; ``annotated`` is None when all organs of the table are annotated.
    """

    case: str
    patient: str
    phase: str | None = None
    image: str | None = None
    label: str | None = None
    fold: str | None = None
    annotated: tuple[str, ...] | None = None


def read_rows(path: Path, needed: Sequence[str]) -> list[CaseRow]:
    """Read a table of cases.

    Args:
        path: of the CSV.
        needed: columns that must exist and be filled in; the others may be missing or empty.

    Raises:
        SemclError: when the file or a column is missing, when it is not a CSV, or with every line that is incomplete
            or repeats a case.
    """
    rows = read_csv(path, "the table of cases cannot be used")
    if not rows or not set(needed) <= set(rows[0][1]):
        raise SemclError(
            "the table of cases cannot be used",
            found=f"{path} with columns {short(', '.join(rows[0][1]))}" if rows else f"no rows in {path}",
            expected=f"columns {', '.join(needed)} and one row per case",
            remedy="correct the CSV",
        )
    errors = [_misspelt(name, path) for name in rows[0][1] if _near(name)]
    known: dict[str, CaseRow] = {}
    for number, line in rows:
        cells = {name: (line.get(name) or "").strip() for name in (*needed, *CaseRow.__dataclass_fields__)}
        fold = cells["fold"]
        if (
            not all(cells[name] for name in needed)
            or cells["case"] in known
            or not (fold in ("", TEST) or _is_fold(fold))
        ):
            shown = [cells[name] or "?" for name in needed] + [f"fold {fold}"] * bool(fold)
            found = f"line {number} of {path}: {short(', '.join(shown))}"
            expected = f"{in_words(needed)} on each line, no case twice, fold a number below 1000 or {TEST}"
            errors.append(
                SemclError("an invalid line in the table of cases", found=found, expected=expected, remedy="correct it")
            )
        listed = cells.pop("annotated")
        organs = tuple(filter(None, map(str.strip, listed.split(";" if ";" in listed else None))))
        known[cells["case"]] = CaseRow(
            **{name: cells[name] or None for name in ("phase", "image", "label", "fold")},
            case=cells["case"],
            patient=cells["patient"],
            annotated=organs or None,
        )
    raise_all(errors)
    return list(known.values())


def _near(name: str) -> str | None:
    """The column that an unknown one seems to be meant as."""
    if name in CaseRow.__dataclass_fields__:
        return None
    plain = name.strip().lower()
    near = difflib.get_close_matches(plain, CaseRow.__dataclass_fields__, 1, CLOSE)
    return "fold" if plain in OTHER_WORDS_FOR_FOLD else near[0] if near else None


def _misspelt(name: str, path: Path) -> SemclError:
    return SemclError(
        "a column of the table of cases that nothing reads looks like one that is read",
        found=f"{name} in {path}",
        expected=f"{_near(name)}, or another name for other content",
        remedy=f"rename it to {_near(name)}, or to something else",
    )


def _is_fold(fold: str) -> bool:
    return re.fullmatch("[0-9]{1,3}", fold) is not None
