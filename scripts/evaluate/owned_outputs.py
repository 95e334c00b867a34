"""What an evaluation may replace in the folder it writes to (a cohort's or any other): only what one wrote before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..cohort.case import Case, input_files
from ..outputs import Output, refuse_strange
from .rows import ROW_COLUMNS

OPTION = "--out or --output_dir"
FIGURES, PICTURES, ROWS = "figures", "pictures", "rows"


def claim(output_dir: Path, cases: Sequence[Case], pictures: bool, check_only: bool = False) -> None:
    """Make the folders of figures and pictures the evaluation's own, or only check that they may become so.

    Raises:
        SemclError: when they, or rows.csv, summary.json or report.html, are not what an evaluation wrote.
    """
    header = ",".join(ROW_COLUMNS)
    refuse_strange(output_dir / "rows.csv", lambda text: text.startswith(header), "the rows of an evaluation", OPTION)
    refuse_strange(output_dir / "summary.json", is_summary, "the summary of an evaluation", OPTION)
    refuse_strange(output_dir / "report.html", lambda text: "<title>SemCL report: " in text, "a report", OPTION)
    for name in [FIGURES, *([PICTURES] if pictures else [])]:
        output = folder_output(output_dir / name, output_dir)
        (output.check if check_only else output.claim)(input_files(cases))


def rows_output(output_dir: Path) -> Output:
    """The folder for the rows that runs of shards leave."""
    return Output(output_dir / ROWS, "measured rows", OPTION)


def folder_output(folder: Path, output_dir: Path) -> Output:
    """An evaluation's folder within the one it writes to."""
    return Output(folder, f"{folder.relative_to(output_dir)} of an evaluation", OPTION)


def is_summary(text: str) -> bool:
    """Whether a text is the summary of an evaluation."""
    return {"headline", "methods", "means"} <= set(json.loads(text))
