"""Names from outside: case ids, which name files; patients, phases and organs, which appear in tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from .errors import SemclError
from .printable import FORMULA, printable

MODALITIES = ("CT", "MR", "RGB")
ID_BYTES = 170  # at most of a case id: disks take 255 at most, with what is added to it while a file is written
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
RULES = "letters, digits, spaces, _ - . and the like, no / or \\, beginning with neither . nor = + - @"


def wrong_cell(text: str) -> str | None:
    """Return why a name cannot appear in a table that is opened in a spreadsheet; None if it can."""
    if not text.strip():
        return "it is empty"
    if not text.isprintable():
        return "it holds characters that cannot be printed"
    if text.startswith(FORMULA):
        return f"it begins with {text[0]}, which a spreadsheet takes for a formula"
    return None


def wrong_name(text: str) -> str | None:
    """Return why a case id cannot name files on some system; None if it can."""
    size = len(text.encode(errors="replace"))
    rules = {
        "it is a path": "/" in text or "\\" in text,
        "it begins with a dot, as hidden files do": text.startswith("."),
        "it begins or ends with a space": text != text.strip(),
        "Windows keeps that name to itself": text.partition(".")[0].lower() in DEVICES,
        f"it has {size} bytes": size > ID_BYTES,
    }
    return wrong_cell(text) or next((why for why, broken in rules.items() if broken), None)


def same_names(ids: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of ids that are one name on a disk that ignores case or composes accents."""
    first: dict[str, str] = {}
    met = [(case, first.setdefault(unicodedata.normalize("NFC", case).casefold(), case)) for case in ids]
    return [(earlier, case) for case, earlier in met if earlier != case]


def bad_id(case: str) -> SemclError | None:
    """Return the error of a case id that cannot name files; None for one that can."""
    why = wrong_name(case)
    if why is None:
        return None
    return SemclError(
        "a case id that cannot name files",
        found=f"{shown(case)}: {why}",
        expected=f"a name of at most {ID_BYTES} bytes: {RULES}",
        remedy="rename the scan, or correct the id where it is listed",
    )


def bad_cell(what: str, text: str, case: str | None = None) -> SemclError | None:
    """The error of the name of a patient, phase or organ (``what``) that no table can hold; None for one it can."""
    why = wrong_cell(text)
    if why is None:
        return None
    return SemclError(
        f"a name of {what} that no table can hold",
        case=case,
        found=f"{shown(text)}: {why}",
        expected="a name that can be printed and begins with none of = + - @",
        remedy="correct it where it is given",
    )


def twins(ids: Iterable[str]) -> list[SemclError]:
    """The errors of ids that some disks cannot distinguish."""
    return [
        SemclError(
            "two case ids that are one file on many disks",
            case=case,
            found=f"{earlier} and {case}",
            expected="ids that differ in more than capitals",
            remedy="rename one of the scans",
        )
        for earlier, case in same_names(ids)
    ]


def shown(text: str) -> str:
    """A name as an error quotes it: in full where it is not overlong."""
    quoted = repr(printable(text))
    return quoted if len(quoted) <= 80 else f"{quoted[:60]} ... {quoted[-15:]}"
