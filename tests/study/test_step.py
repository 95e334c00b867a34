"""Steps: when one has completed, what it has cost, and what its process is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.study.step import ATTENTION_FOLDER, LEFT_OUT_NOTE, PREDICTION_FOLDER, Step
from tests.study.made import write_step


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """A step that leaves predictions."""
    folder = tmp_path / "inference 0123"
    return Step("inference", "0123", folder, ("inference.yaml",), {"seed": 3}, (), folder / "predictions")


def without_predictions(step: Step) -> Step:
    return Step("train", "4567", step.folder, ("train.yaml",), {})


def test_a_step_has_completed_once_its_predictions_are_measured(step: Step) -> None:
    assert not step.completed
    write_step(step)
    assert step.completed
    step.rows.unlink()
    assert not step.completed


def test_a_step_without_predictions_has_completed_with_its_stage(step: Step) -> None:
    found = without_predictions(step)
    assert not found.completed
    write_step(found)
    assert found.completed


@pytest.mark.parametrize("status", ["running", "failed", "interrupted", None])
def test_what_has_not_run_to_its_end_has_not_completed(step: Step, status: str | None) -> None:
    write_step(step)
    step.manifest.write_text(json.dumps({"status": status}))
    assert not step.completed


@pytest.mark.parametrize("content", ["", "{", "[]", '"completed"'])
def test_a_damaged_manifest_counts_as_none(step: Step, content: str) -> None:
    write_step(step)
    step.manifest.write_text(content)
    assert not step.completed


def test_an_optional_step_that_could_not_be_made_counts_as_ended_until_its_note_is_removed(step: Step) -> None:
    embed = replace(without_predictions(step), optional=True)
    write_step(embed)
    embed.manifest.write_text(json.dumps({"status": "failed"}))
    assert (embed.completed, embed.left_out) == (False, None)
    (embed.folder / LEFT_OUT_NOTE).write_text(json.dumps({"why": "one patient has no neighbours"}))
    assert (embed.completed, embed.left_out) == (True, "one patient has no neighbours")
    assert not replace(embed, optional=False).completed
    (embed.folder / LEFT_OUT_NOTE).unlink()
    assert not embed.completed


@pytest.mark.parametrize(("folder", "maps"), [(ATTENTION_FOLDER, True), (PREDICTION_FOLDER, False), (None, False)])
def test_a_step_makes_maps_where_it_leaves_them_for_others(step: Step, folder: str | None, maps: bool) -> None:
    assert replace(step, predicts=step.folder / folder if folder else None).makes_maps == maps


def test_costs_are_those_noted_beside_it(step: Step) -> None:
    assert step.cost == {}
    write_step(step, seconds=12.0)
    assert step.cost["whole"] == 12.0
    (step.folder / "cost.json").write_text("{")
    assert step.cost == {}


def test_what_a_process_is_told_can_be_written_down(step: Step) -> None:
    found = json.loads(json.dumps(step.described()))
    assert found == {
        "stage": "inference",
        "folder": str(step.folder),
        "files": ["inference.yaml"],
        "overrides": {"seed": 3},
        "predicts": str(step.folder / "predictions"),
        "optional": False,
    }
    assert without_predictions(step).described()["predicts"] is None
