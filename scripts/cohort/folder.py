"""A cohort's folder: what ``prepare`` may replace in it, and the mark of one that was only partly written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from ..errors import SemclError
from ..files import write_text
from ..outputs import refuse_strange, visible
from .label_table import LABELS_FILE, LabelTable

UNFINISHED = ".unfinished"  # exists while prepare writes: a cohort is two files, and merged label maps


def check_cohort(out: Path, table: LabelTable, listed: str) -> None:
    """Refuse to replace a datalist that ``prepare`` did not write, or a label table that was written by hand.

    Raises:
        SemclError: for another file of that name, or a table that differs from ``table`` and is not formatted as
            ``prepare`` does.
    """
    refuse_strange(out / listed, is_datalist, "a datalist", "--out")
    path = out / LABELS_FILE
    refuse_strange(
        path,
        lambda text: LabelTable.read(path) == table or text == as_written(LabelTable.read(path)),
        "a label table of the same content, or one",
        "--out",
    )


def as_written(table: LabelTable) -> str:
    """The text of a cohort's labels.yaml."""
    return yaml.safe_dump(table.content(), sort_keys=False)


def is_datalist(text: str) -> bool:
    """Whether a text is a datalist as ``prepare`` writes it: cases with patients."""
    sections = json.loads(text)
    entries = [entry for section in ("training", "testing") for entry in sections.get(section, [])]
    return all({"case", "patient", "image"} <= set(entry) for entry in entries)


@contextmanager
def unfinished(out: Path, listed: str, merged: str) -> Iterator[None]:
    """Mark a cohort as unfinished while it is written; the mark stays when only a part was written."""
    new, before = not out.exists(), _state(out, listed, merged)
    write_text(out / UNFINISHED, "prepare is writing, or was interrupted\n")
    try:
        yield
    except BaseException:
        if _state(out, listed, merged) == before:
            (out / UNFINISHED).unlink()
            if new and not any(out.iterdir()):
                out.rmdir()
        raise
    (out / UNFINISHED).unlink()


def _state(out: Path, listed: str, merged: str) -> list[object]:
    """Files of a cohort with times and sizes, which show whether anything was written."""
    files = [path for name in (listed, LABELS_FILE) if (path := out / name).is_file()]
    return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in [*files, *visible(out / merged)]]


def refuse_unfinished(folder: Path) -> None:
    """Refuse a cohort that was only partly written.

    Raises:
        SemclError: when ``prepare`` was interrupted there, or is still writing.
    """
    if (folder / UNFINISHED).exists():
        raise SemclError(
            "the cohort is unfinished: its files may be of two different ones",
            found=f"{folder / UNFINISHED}, which prepare leaves when it is interrupted",
            expected="a cohort that was written whole",
            remedy="run `python -m scripts prepare` (or phantom) again with the same --out",
        )
