"""The process of some steps: completed ones are not run again, interrupted ones are resumed, each is measured once."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.evaluate.rows import Row, read_metrics
from scripts.study import step_process as module
from scripts.study.step import LEFT_OUT_NOTE
from scripts.study.step_process import METHOD, has_completed, main, run_steps
from tests.conftest import write_nifti
from tests.study.made import TABLE


class Workflow:
    """Stands for a stage: notes what it was given, completes, or raises."""

    runs: list[tuple[list[str], dict[str, Any]]]
    clocks: list[dict[str, Any]]
    failing: dict[str, Exception]

    def __init__(self, files: list[str], **overrides: Any) -> None:
        self.stage, self.overrides = Path(files[0]).stem, overrides
        self.runs.append((files, overrides))
        self.config: dict[str, Any] = {"train": {"handlers": []}} if self.stage in ("pretrain", "train") else {}
        self.parser = self

    def initialize(self) -> None:
        self.clocks += self.config.get("train", {}).get("handlers", [])

    def run(self) -> None:
        if self.stage in self.failing:
            raise self.failing[self.stage]
        write_status(Path(self.overrides["output_dir"]), self.stage, "completed")


def write_status(folder: Path, stage: str, status: str) -> None:
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    (folder / "jobs" / f"{stage}.json").write_text(json.dumps({"status": status}))


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> type[Workflow]:
    made = type("Made", (Workflow,), {"runs": [], "clocks": [], "failing": {}})
    monkeypatch.setattr(monai.bundle, "ConfigWorkflow", made)
    return made


@pytest.fixture
def note(tmp_path: Path) -> dict[str, Any]:
    """Four steps, the last of which leaves predictions of two cases of a liver, half of which is found."""
    cases = []
    voxels = np.zeros((8, 8, 4), np.uint8)
    voxels[2:6, 2:6, 1:3] = TABLE.organs[0].index
    prediction = voxels.copy()
    prediction[:4] = 0
    predictions = tmp_path / "inference" / "predictions"
    for number in range(2):
        label = write_nifti(tmp_path / "labels" / f"s{number}.nii.gz", voxels)
        write_nifti(predictions / f"s{number}.nii.gz", prediction)
        cases.append(Case(f"s{number}", f"p{number}", "portal", label, label))
    datalist.save(cases, tmp_path / "split")
    TABLE.save(tmp_path / "split")
    steps = [
        {
            "stage": stage,
            "folder": str(tmp_path / stage),
            "files": [f"{stage}.yaml"],
            "overrides": {"output_dir": str(tmp_path / stage), "dataset_dir": str(tmp_path / "split"), "seed": 3},
            "predicts": str(predictions) if stage == "inference" else None,
            "optional": stage == "embed",
        }
        for stage in ("pretrain", "embed", "train", "inference")
    ]
    return {"steps": steps, "tolerance": 2.0}


def stages(workflow: type[Workflow]) -> list[str]:
    return [Path(files[0]).stem for files, _ in workflow.runs]


def folder_of(note: Mapping[str, Any], stage: str) -> Path:
    return next(Path(step["folder"]) for step in note["steps"] if step["stage"] == stage)


def test_stages_are_run_in_order_and_what_they_predict_is_measured(
    note: dict[str, Any], workflow: type[Workflow]
) -> None:
    run_steps(note)
    assert stages(workflow) == ["pretrain", "embed", "train", "inference"]
    assert [overrides for _, overrides in workflow.runs] == [step["overrides"] for step in note["steps"]]
    rows = read_metrics(folder_of(note, "inference") / "rows.csv")
    assert {row.method for row in rows} == {METHOD}
    assert [row.value for row in rows if row.metric == "dice"] == [pytest.approx(2 / 3, abs=1e-6)] * 2
    assert {row.patient for row in rows} == {"p0", "p1"}
    assert not (folder_of(note, "train") / "rows.csv").exists()


@pytest.mark.parametrize("probe", [False, True])
def test_stages_that_train_have_a_clock(note: dict[str, Any], workflow: type[Workflow], probe: bool) -> None:
    run_steps(note | {"probe": probe})
    assert workflow.clocks == [
        {"_target_": "scripts.study.clock.Clock", "folder": str(folder_of(note, stage)), "probe": probe}
        for stage in ("pretrain", "train")
    ]


def test_the_seconds_of_every_stage_are_noted(note: dict[str, Any], workflow: type[Workflow]) -> None:
    run_steps(note)
    for step in note["steps"]:
        assert json.loads((Path(step["folder"]) / "cost.json").read_text())["whole"] >= 0


def test_the_seconds_of_a_stage_that_failed_are_noted_too(
    note: dict[str, Any], workflow: type[Workflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow.failing = {"train": ZeroDivisionError("a bug")}
    with pytest.raises(ZeroDivisionError):
        run_steps(note)
    before = json.loads((folder_of(note, "train") / "cost.json").read_text())["whole"]
    workflow.failing = {}
    run_steps(note)
    assert json.loads((folder_of(note, "train") / "cost.json").read_text())["whole"] >= before


def test_what_has_completed_is_not_run_again(note: dict[str, Any], workflow: type[Workflow]) -> None:
    run_steps(note)
    measured = (folder_of(note, "inference") / "rows.csv").read_bytes()
    workflow.runs.clear()
    run_steps(note)
    assert workflow.runs == []
    assert (folder_of(note, "inference") / "rows.csv").read_bytes() == measured


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_what_has_not_completed_is_run_again(note: dict[str, Any], workflow: type[Workflow], status: str) -> None:
    run_steps(note)
    workflow.runs.clear()
    train = note["steps"][2]
    write_status(Path(train["folder"]), "train", status)
    assert not has_completed(train)
    run_steps(note)
    assert stages(workflow) == ["train"]


def test_an_interrupted_stage_is_resumed_from_its_checkpoint(note: dict[str, Any], workflow: type[Workflow]) -> None:
    folder = folder_of(note, "pretrain")
    write_status(folder, "pretrain", "running")
    (folder / "jobs" / "pretrain.checkpoint.pt").write_bytes(b"")
    run_steps(note)
    assert [overrides.get("resume") for _, overrides in workflow.runs] == [True, None, None, None]


def test_what_was_measured_is_not_measured_again(
    note: dict[str, Any], workflow: type[Workflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_steps(note)

    def again(*_: object, **__: object) -> None:
        pytest.fail("measured again")

    monkeypatch.setattr(module, "measure_cases", again)
    run_steps(note)


def test_predictions_that_were_not_measured_are_measured_without_another_run(
    note: dict[str, Any], workflow: type[Workflow]
) -> None:
    run_steps(note)
    rows = folder_of(note, "inference") / "rows.csv"
    measured = rows.read_bytes()
    rows.unlink()
    workflow.runs.clear()
    run_steps(note)
    assert (workflow.runs, rows.read_bytes()) == ([], measured)


REFUSED = SemclError("neighbours are searched among other patients", found="1", expected="2", remedy="more")


def wrapped() -> Exception:
    """As MONAI raises what a component raised."""
    error = RuntimeError("Failed to evaluate")
    error.__cause__ = REFUSED
    return error


def test_an_optional_step_that_cannot_be_made_does_not_stop_the_others(
    note: dict[str, Any], workflow: type[Workflow], capsys: pytest.CaptureFixture[str]
) -> None:
    workflow.failing = {"embed": wrapped()}
    run_steps(note)
    assert stages(workflow) == ["pretrain", "embed", "train", "inference"]
    assert "embed is left out: neighbours are searched among other patients" in capsys.readouterr().err
    assert (folder_of(note, "inference") / "rows.csv").is_file()
    assert json.loads((folder_of(note, "embed") / LEFT_OUT_NOTE).read_text())["why"] == REFUSED.problem
    workflow.runs.clear()
    run_steps(note)  # as when the study is started again
    assert workflow.runs == []


@pytest.mark.parametrize(("stage", "error"), [("train", wrapped()), ("embed", ZeroDivisionError("a bug"))])
def test_anything_else_stops_it(note: dict[str, Any], workflow: type[Workflow], stage: str, error: Exception) -> None:
    workflow.failing = {stage: error}
    with pytest.raises(type(error), match=str(error)):
        run_steps(note)
    assert stages(workflow)[-1] == stage


def test_a_map_that_is_missing_is_named(note: dict[str, Any], workflow: type[Workflow]) -> None:
    (folder_of(note, "inference") / "predictions" / "s1.nii.gz").unlink()
    with pytest.raises(SemclError, match=rf"(?s)case s1: no label map of method {METHOD}"):
        run_steps(note)
    assert not (folder_of(note, "inference") / "rows.csv").exists()


def test_it_is_started_with_a_file(
    note: dict[str, Any], workflow: type[Workflow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a task.json"
    path.write_text(json.dumps(note))
    monkeypatch.setattr(sys, "argv", ["step_process", str(path)])
    main()
    assert isinstance(read_metrics(folder_of(note, "inference") / "rows.csv")[0], Row)
