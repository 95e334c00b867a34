"""The process of one unit of a study: its stages one after the other, then the measurements."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cohort.datalist import load
from ..cohort.label_table import LabelTable
from ..errors import root_cause
from ..evaluate.rows import measure_cases, write_rows
from ..files import write_text
from ..sidefiles import for_show, plain_note

OWN_STORE = "store"  # folder of a cell's own query store, removed once the cell is measured
Step = Mapping[str, Any]  # one stage: its name and title, config files and overrides, as ``plan.steps`` makes them
QUERIES = "queries_seen.json"  # stage -> how many queries it has seen; lies beside its jobs/


def run(note: Mapping[str, Any]) -> None:
    """Run the stages that have not completed, then measure the cells that have not been measured.

    Args:
        note: the stages ("steps"), the cells ("cells": name -> folder), the folder of the split, the method's name and
            the tolerance of NSD.
    """
    for step in note["steps"]:
        if not has_completed(step):
            print(f"\n== {step['title']}", file=sys.stderr, flush=True)
            run_stage(step)
    cases = load(note["split"], "testing", need_label=True)
    table = LabelTable.load(note["split"])
    for folder in map(Path, note["cells"].values()):
        if not (folder / "rows.csv").is_file():
            rows = measure_cases(cases, {note["method"]: folder / "predictions"}, table, note["tolerance"], workers=1)
            write_rows(folder / "rows.csv", [row for row in rows if row.method == note["method"]])
            shutil.rmtree(folder / OWN_STORE, ignore_errors=True)


def has_completed(step: Step) -> bool:
    """Whether a stage has run to its end."""
    path = manifest(step)
    note = for_show(path, plain_note) if path.is_file() else None
    return note is not None and note.get("status") == "completed"


def manifest(step: Step) -> Path:
    """The path of a stage's manifest."""
    return Path(step["overrides"]["output_dir"]) / "jobs" / f"{step['stage']}.json"


def run_stage(step: Step) -> None:
    """Run a stage, or resume it where it was interrupted.

    Embeddings only accompany Dice: where they cannot be computed, say for a single patient, the unit goes on without.
    """
    from monai.bundle import ConfigWorkflow

    overrides = dict(step["overrides"])
    if manifest(step).with_suffix(".checkpoint.pt").is_file():
        overrides["resume"] = True
    workflow = ConfigWorkflow(step["files"], **overrides)
    try:
        workflow.initialize()
        workflow.run()
    except Exception as error:
        cause = root_cause(error)
        if step["stage"] != "embed" or cause is None:
            raise
        print(f"\nno embeddings: {cause}", file=sys.stderr)
    if "train" in workflow.parser:
        sampler, trainer = (workflow.parser.get_parsed_content(f"train#{name}") for name in ("sampler", "trainer"))
        batches = trainer.state.max_epochs * len(sampler)
        seen = {step["stage"]: batches * sampler.clusters_per_batch * sampler.queries_per_cluster}
        write_text(Path(overrides["output_dir"]) / QUERIES, json.dumps(seen))


def main() -> None:
    """Run the unit described by the file that is given as argument."""
    run(json.loads(Path(sys.argv[1]).read_text()))


if __name__ == "__main__":
    main()
