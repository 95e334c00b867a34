"""One unit of a study, in a process of its own: its stages one after the other, then the measures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..cohort.datalist import load
from ..cohort.labels import LabelTable
from ..evaluate.rows import measure, write_rows
from ..files import write_text


def run(note: dict[str, Any]) -> None:
    """Run the stages that have not completed, then measure the cells that have not been measured.

    Args:
        note: the stages ("steps"), the cells ("cells": name -> folder), the split's folder, and the tolerance of NSD.
    """
    for step in note["steps"]:
        run_stage(step)
    cases = load(note["split"], "testing", need_label=True)
    table = LabelTable.load(note["split"])
    for folder in map(Path, note["cells"].values()):
        if not (folder / "rows.csv").is_file():
            rows = measure(cases, {note["method"]: folder / "predictions"}, table, note["tolerance"], workers=1)
            write_rows(folder / "rows.csv", [row for row in rows if row.method == note["method"]])


def run_stage(step: dict[str, Any]) -> None:
    """Run a stage unless it has completed; go on where one was interrupted."""
    from monai.bundle import run as run_config

    folder = Path(step["overrides"]["output_dir"]) / "jobs"
    manifest = folder / f"{step['stage']}.json"
    if manifest.is_file() and json.loads(manifest.read_text())["status"] == "completed":
        return
    overrides = dict(step["overrides"])
    if (folder / f"{step['stage']}.checkpoint.pt").is_file():
        overrides["resume"] = True
    print(f"\n== {step['title']}", file=sys.stderr, flush=True)
    run_config(config_file=step["files"], **overrides)


def main() -> None:
    """Run the unit a file describes; what was found is left beside it."""
    path = Path(sys.argv[1])
    run(json.loads(path.read_text()))
    write_text(path.with_name("done.json"), json.dumps({"settings": json.loads(path.read_text())["settings"]}))


if __name__ == "__main__":
    main()
