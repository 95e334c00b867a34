"""The process of some steps of a study: stages one after the other, each with a note of its cost and its rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..alias import provide_scripts
from ..cohort.datalist import load
from ..cohort.label_table import LabelTable
from ..errors import root_cause
from ..evaluate.rows import measure_cases, write_rows
from ..files import write_text
from .step import LEFT_OUT_NOTE, has_ended

METHOD = "prediction"  # in a step's rows; the strategies that share them have names of their own


def run_steps(note: Mapping[str, Any]) -> None:
    """Run the steps that have not completed, and measure their predictions.

    Args:
        note: the steps ("steps", as ``Step.described`` has them), the tolerance of NSD, and whether the
            cost of a step is to be measured ("probe").
    """
    for step in note["steps"]:
        folder = Path(step["folder"])
        if not has_completed(step):
            print(f"\n== {step['stage']}: {folder.name}", file=sys.stderr, flush=True)
            run_stage(step, note.get("probe", False))
        if step["predicts"] and not (folder / "rows.csv").is_file():
            dataset_dir = step["overrides"]["dataset_dir"]
            cases, table = load(dataset_dir, "testing", need_label=True), LabelTable.load(dataset_dir)
            rows = measure_cases(cases, {METHOD: Path(step["predicts"])}, table, note["tolerance"], workers=1)
            write_rows(folder / "rows.csv", [row for row in rows if row.method == METHOD])


def has_completed(step: Mapping[str, Any]) -> bool:
    """Whether a stage has run to its end, or is left out."""
    return has_ended(Path(step["folder"]) / "jobs" / f"{step['stage']}.json", step["optional"])


def run_stage(step: Mapping[str, Any], probe: bool = False) -> None:
    """Run a stage, or resume it where it was interrupted, and note its cost.

    Where an optional one cannot run, such as embeddings of a single patient, that is noted and the others go on.
    """
    from monai.bundle import ConfigWorkflow

    from .clock import device_seconds, note_whole

    provide_scripts()
    folder, overrides = Path(step["folder"]), dict(step["overrides"])
    if (folder / "jobs" / f"{step['stage']}.checkpoint.pt").is_file():
        overrides["resume"] = True
    workflow = ConfigWorkflow(step["files"], **overrides)
    config: Any = workflow.parser.config
    if "train" in config:
        clock = {"_target_": "scripts.study.clock.Clock", "folder": str(folder), "probe": probe}
        config["train"]["handlers"].append(clock)
    start = device_seconds()
    try:
        workflow.initialize()
        workflow.run()
    except Exception as error:
        cause = root_cause(error)
        if not step["optional"] or cause is None:
            raise
        print(f"\n{step['stage']} is left out: {cause}", file=sys.stderr)
        write_text(folder / LEFT_OUT_NOTE, json.dumps({"why": cause.problem, "error": str(cause)}, indent=1))
    finally:
        note_whole(folder, device_seconds() - start)
    (folder / "jobs" / f"{step['stage']}.finished.pt").unlink(missing_ok=True)  # a study's runs never go on


def main() -> None:
    """Run the steps described by the file that is given as argument."""
    run_steps(json.loads(Path(sys.argv[1]).read_text()))


if __name__ == "__main__":
    main()
