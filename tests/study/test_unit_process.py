"""One unit: completed stages are not run again, interrupted ones are resumed, cells are measured once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.evaluate.rows import Row, read_metrics
from scripts.study import unit_process as module
from scripts.study.unit_process import has_completed, main, run
from tests.conftest import write_nifti
from tests.study.made import TABLE


class Sampler:
    clusters_per_batch, queries_per_cluster = 3, 4

    def __len__(self) -> int:
        return 5


class Workflow:
    """Stands for a stage: notes what it was given, completes, or raises."""

    runs: list[tuple[list[str], dict[str, Any]]]
    failing: dict[str, Exception]

    def __init__(self, files: list[str], **overrides: Any) -> None:
        self.stage, self.overrides = Path(files[0]).stem, overrides
        self.runs.append((files, overrides))
        self.parser: Any = self

    def __contains__(self, key: str) -> bool:
        return key == "train" and self.stage in ("pretrain", "train")

    def get_parsed_content(self, key: str) -> Any:
        state = type("State", (), {"max_epochs": 2})
        return {"train#sampler": Sampler(), "train#trainer": type("Trainer", (), {"state": state})}[key]

    def initialize(self) -> None:
        pass

    def run(self) -> None:
        if self.stage in self.failing:
            raise self.failing[self.stage]
        write_status(Path(self.overrides["output_dir"]), self.stage, "completed")


def write_status(folder: Path, stage: str, status: str) -> None:
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    (folder / "jobs" / f"{stage}.json").write_text(json.dumps({"status": status}))


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> type[Workflow]:
    made = type("Made", (Workflow,), {"runs": [], "failing": {}})
    monkeypatch.setattr(monai.bundle, "ConfigWorkflow", made)
    return made


@pytest.fixture
def note(tmp_path: Path) -> dict[str, Any]:
    """A unit of one cell on two cases of a liver, half of which is predicted."""
    cases = []
    voxels = np.zeros((8, 8, 4), np.uint8)
    voxels[2:6, 2:6, 1:3] = TABLE.organs[0].index
    prediction = voxels.copy()
    prediction[:4] = 0
    cell = tmp_path / "unit" / "frozen-100%"
    for number in range(2):
        label = write_nifti(tmp_path / "labels" / f"s{number}.nii.gz", voxels)
        write_nifti(cell / "predictions" / f"s{number}.nii.gz", prediction)
        cases.append(Case(f"s{number}", f"p{number}", "portal", label, label))
    datalist.save(cases, tmp_path / "split")
    TABLE.save(tmp_path / "split")
    where = [("pretrain", cell.parent), ("embed", cell.parent), ("train", cell), ("inference", cell)]
    steps = [
        {
            "stage": stage,
            "title": stage,
            "files": [f"{stage}.yaml"],
            "overrides": {"output_dir": str(folder), "seed": 3},
        }
        for stage, folder in where
    ]
    return {
        "method": "semantic", "split": str(tmp_path / "split"), "tolerance": 2.0,
        "cells": {cell.name: str(cell)}, "steps": steps,
    }  # fmt: skip


def stages(workflow: type[Workflow]) -> list[str]:
    return [Path(files[0]).stem for files, _ in workflow.runs]


def test_a_unit_runs_its_stages_in_order_and_measures(note, workflow):
    run(note)
    assert stages(workflow) == ["pretrain", "embed", "train", "inference"]
    assert all(
        overrides == step["overrides"] for (_, overrides), step in zip(workflow.runs, note["steps"], strict=True)
    )
    (cell,) = map(Path, note["cells"].values())
    rows = read_metrics(cell / "rows.csv")
    assert {row.method for row in rows} == {"semantic"}
    assert [row.value for row in rows if row.metric == "dice"] == [pytest.approx(2 / 3, abs=1e-6)] * 2
    assert {row.patient for row in rows} == {"p0", "p1"}


def test_how_many_queries_training_has_seen_is_noted(note, workflow):
    run(note)
    (cell,) = map(Path, note["cells"].values())
    assert json.loads((cell.parent / "queries_seen.json").read_text()) == {"pretrain": 2 * 5 * 3 * 4}
    assert json.loads((cell / "queries_seen.json").read_text()) == {"train": 120}


def test_what_has_completed_is_not_run_again(note, workflow):
    run(note)
    (cell,) = map(Path, note["cells"].values())
    measured = (cell / "rows.csv").read_bytes()
    workflow.runs.clear()
    run(note)
    assert workflow.runs == []
    assert (cell / "rows.csv").read_bytes() == measured


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_what_has_not_completed_is_run_again(note, workflow, status):
    run(note)
    workflow.runs.clear()
    train = note["steps"][2]
    write_status(Path(train["overrides"]["output_dir"]), "train", status)
    assert not has_completed(train)
    run(note)
    assert stages(workflow) == ["train"]


def test_an_interrupted_stage_is_resumed_from_its_checkpoint(note, workflow):
    pretrain = note["steps"][0]["overrides"]["output_dir"]
    write_status(Path(pretrain), "pretrain", "running")
    (Path(pretrain) / "jobs" / "pretrain.checkpoint.pt").write_bytes(b"")
    run(note)
    assert [overrides.get("resume") for _, overrides in workflow.runs] == [True, None, None, None]


def test_cells_that_were_measured_are_not_measured_again(note, workflow, monkeypatch):
    run(note)
    monkeypatch.setattr(module, "measure_cases", lambda *given, **named: pytest.fail("measured again"))
    run(note)


def test_a_cell_added_later_is_measured_too(note, workflow, tmp_path):
    run(note)
    (cell,) = map(Path, note["cells"].values())
    other = cell.with_name("tuned-100%")
    (other / "predictions").parent.mkdir()
    (other / "predictions").symlink_to(cell / "predictions")
    run(note | {"cells": note["cells"] | {other.name: str(other)}})
    assert (other / "rows.csv").read_bytes() == (cell / "rows.csv").read_bytes()


REFUSED = SemclError("neighbours are searched among other patients", found="1", expected="2", remedy="more")


def wrapped() -> Exception:
    """As MONAI raises what a component raised."""
    error = RuntimeError("Failed to evaluate")
    error.__cause__ = REFUSED
    return error


def test_embeddings_that_cannot_be_made_do_not_stop_a_unit(note, workflow, capsys):
    workflow.failing = {"embed": wrapped()}
    run(note)
    assert stages(workflow) == ["pretrain", "embed", "train", "inference"]
    assert "no embeddings: neighbours are searched among other patients" in capsys.readouterr().err
    (cell,) = map(Path, note["cells"].values())
    assert (cell / "rows.csv").is_file()


@pytest.mark.parametrize(("stage", "error"), [("train", wrapped()), ("embed", ZeroDivisionError("a bug"))])
def test_anything_else_stops_it(note, workflow, stage, error):
    workflow.failing = {stage: error}
    with pytest.raises(type(error), match=str(error)):
        run(note)
    assert stages(workflow)[-1] == stage


def test_a_map_that_is_missing_is_named(note, workflow):
    (cell,) = map(Path, note["cells"].values())
    (cell / "predictions" / "s1.nii.gz").unlink()
    with pytest.raises(SemclError, match=r"(?s)case s1: no label map of method semantic"):
        run(note)
    assert not (cell / "rows.csv").exists()


def test_a_unit_is_run_from_its_file(note, workflow, tmp_path, monkeypatch):
    path = tmp_path / "a unit.json"
    path.write_text(json.dumps(note))
    monkeypatch.setattr(sys, "argv", ["unit", str(path)])
    main()
    (cell,) = map(Path, note["cells"].values())
    assert isinstance(read_metrics(cell / "rows.csv")[0], Row)
