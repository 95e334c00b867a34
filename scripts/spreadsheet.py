"""CSV from outside, as spreadsheets write it: every cell, with its line number."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from .errors import SemclError
from .plain import LARGE_BYTES, read_text, short

CELL = 10_000  # characters; a path has 4096 at most


def read_csv(path: Path, problem: str) -> list[tuple[int, dict[str, str]]]:
    """Return the line number and the cells by column of every row that is not blank.

    Args:
        path: of the CSV, in UTF-8, with a line of column names.
        problem: first line of an error.

    Raises:
        SemclError: for a missing file, another encoding, an unclosed quote, a column named twice, a row with more cells
            than columns, or an oversized cell.
    """

    def refuse(found: str) -> SemclError:
        return SemclError(problem, found=f"{path}: {found}", expected="a CSV with commas, in UTF-8", remedy="fix it")

    try:
        text = read_text(path, LARGE_BYTES)
    except SemclError as error:
        raise SemclError(
            problem, found=f"{path}: {error.found}", expected=error.expected, remedy=error.remedy
        ) from error
    csv.field_size_limit(CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    names: list[str] = []
    try:
        for line in reader:
            cells = [cell.strip() for cell in line]
            if not any(cells):
                continue
            if not names:
                names = cells
                twice = sorted({name for name in names if name and names.count(name) > 1})
                if twice:
                    raise refuse(f"column {short(', '.join(twice))} twice")
                continue
            if any(cells[len(names) :]):
                raise refuse(f"{len(cells)} cells in line {reader.line_num}, {len(names)} columns")
            rows.append((reader.line_num, dict(zip(names, cells, strict=False))))
    except csv.Error as error:
        raise refuse(f"line {reader.line_num}: {error}") from error
    return rows
