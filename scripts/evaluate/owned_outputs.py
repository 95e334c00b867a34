"""What an evaluation may replace in the folder it writes to, which is a cohort's or any: what one wrote before."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..cohort.case import Case, input_files
from ..outputs import Output, refuse_strange, visible
from .rows import COLUMNS

OUT = "--out or --output_dir"
FIGURES, PICTURES, ROWS = "figures", "pictures", "rows"


def claim(output_dir: Path, cases: Sequence[Case], pictures: bool, check_only: bool = False) -> None:
    """Make the folders of figures and pictures the evaluation's own, or only see whether they may be.

    Those of an earlier version, without a marker, are taken up where the report beside them shows each file.

    Raises:
        SemclError: when they, or rows.csv, summary.json or report.html, are not what an evaluation wrote.
    """
    heads = ",".join(COLUMNS)
    refuse_strange(output_dir / "rows.csv", lambda text: text.startswith(heads), "the rows of an evaluation", OUT)
    refuse_strange(output_dir / "summary.json", is_summary, "the summary of an evaluation", OUT)
    refuse_strange(output_dir / "report.html", lambda text: "<title>SemCL report: " in text, "a report", OUT)
    for name in [FIGURES, *([PICTURES] if pictures else [])]:
        own, earlier = (
            folder_output(output_dir / name, output_dir),
            partial(report_shows, output_dir / name, output_dir),
        )
        (own.check if check_only else own.claim)(input_files(cases), earlier)


def rows_output(output_dir: Path) -> Output:
    """The folder of rows that runs of shards leave."""
    return Output(output_dir / ROWS, "measured rows", OUT)


def folder_output(folder: Path, output_dir: Path) -> Output:
    """A folder of an evaluation in the one it writes to."""
    return Output(folder, f"{folder.relative_to(output_dir)} of an evaluation", OUT)


def is_summary(text: str) -> bool:
    """Whether a text is the summary of an evaluation."""
    return {"headline", "methods", "means"} <= set(json.loads(text))


def report_shows(folder: Path, output_dir: Path) -> bool:
    """Whether the report shows each picture and figure of a folder."""
    report = output_dir / "report.html"
    page = report.read_text(encoding="utf-8") if report.is_file() else ""
    for path in visible(folder):
        content = path.read_bytes() if path.is_file() else b""
        drawn = (
            content.decode(errors="replace").strip() if path.suffix == ".svg" else base64.b64encode(content).decode()
        )
        if not content or drawn not in page:
            return False
    return True


def holds_only_rows(output_dir: Path) -> bool:
    """Whether the folder of rows holds nothing else."""
    try:
        return all({"key", "cases"} <= set(json.loads(path.read_text())) for path in visible(output_dir / ROWS))
    except (OSError, ValueError, TypeError):
        return False
