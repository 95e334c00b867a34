"""Studies that really train, on phantoms: killed and in parts they end as one left alone, and see their labels alone.

All have one strategy and two labelled patients of three, so that one patient's label maps are nobody's.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from scripts.cohort import datalist
from scripts.outputs import visible
from scripts.study.strategy import FLOOR
from tests.stages import ROOT, SMALL
from tests.study.made import BUNDLE

TINY = {
    **{key: yaml.safe_load(str(value)) for stage in ("coarse", "train") for key, value in SMALL[stage].items()},
    **{"max_epochs": 2, "epoch_length": 3, "clusters_per_batch": 4, "calibration_batches": 1},
    **{"segment.max_epochs": 3, "segment.epoch_length": 12, "queries_per_organ": 2, "organ": "liver"},
    **{"segment_size": [80, 64], "coarse_spacing": [5, 5, 0]},
}
LENGTHS = {"max_epochs", "epoch_length", "segment.max_epochs", "segment.epoch_length"}
REPORT = {"report.html", "results.csv", "rows.csv", "strategies.svg", "summary.json", "tables.md", "tables.tex"}
SAME = ("results.csv", "rows.csv", "tables.tex")  # whatever the machine was busy with


class Started:
    """``python -m semcl study`` from a folder elsewhere."""

    def __init__(self, elsewhere: Path) -> None:
        self.elsewhere = elsewhere
        elsewhere.mkdir()
        (elsewhere / "semcl").symlink_to(ROOT / "scripts")
        (elsewhere / "tiny numbers.yaml").write_text(yaml.safe_dump(TINY))
        budgeted = {key: value for key, value in TINY.items() if key not in LENGTHS}
        (elsewhere / "tiny numbers with a budget.yaml").write_text(yaml.safe_dump(budgeted))

    def start(self, cohort: Path, out: str, *more: str, overlay: str = "tiny numbers.yaml") -> subprocess.Popen[str]:
        command = [
            sys.executable, "-m", "semcl", "study", "--dataset_dir", str(cohort), "--bundle_root", str(BUNDLE),
            "--preset", "smoke", "--labels", "2", "--overlay", overlay, "--workers", "2", "--out", out, *more,
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.Popen(
            command, cwd=self.elsewhere, env=environment | {"OMP_NUM_THREADS": "1"}, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, cohort: Path, out: str, *more: str, overlay: str = "tiny numbers.yaml") -> str:
        process = self.start(cohort, out, *more, overlay=overlay)
        said, _ = process.communicate()
        assert process.returncode == 0, said
        return said


RUNS = ("--strategies", "semantic", "--budget", "0")
TWO_RUNS = (*RUNS, "--seeds", "2")


def made(folder: Path) -> set[str]:
    return {path.name for path in visible(folder) if path.is_file()}


def rows_in(folder: Path) -> list[dict[str, str]]:
    with open(folder / "rows.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Started:
    return Started(tmp_path_factory.mktemp("studies") / "else where")


@pytest.fixture(scope="module")
def alone(started: Started, phantoms: Path) -> Path:
    """A study of two runs, left alone."""
    said = started.run(phantoms, "left alone", *TWO_RUNS)
    assert "study: 0 of 4 tasks done, 4 to run" in said
    assert "Label maps of 2 patients: " in said
    return started.elsewhere / "left alone"


def test_a_study_leaves_its_report(alone: Path, phantoms: Path) -> None:
    assert made(alone) >= REPORT
    rows = [row for row in rows_in(alone) if row["metric"] == "dice"]
    assert {row["method"] for row in rows} == {FLOOR, "semantic"}
    assert {row["patient"] for row in rows} == {case.patient for case in datalist.load(phantoms, "testing")}
    assert max(float(row["value"]) for row in rows) > 0.3  # a liver is found even so
    (table,) = json.loads((alone / "summary.json").read_text())["tables"]
    assert table["learnt"]["patients"] == [2]
    (cost,) = table["costs"]
    assert cost["training_seconds"] > cost["inference_seconds"] > 0
    assert cost["samples"] > 0


def test_runs_of_other_seeds_differ(alone: Path) -> None:
    rows = [row for row in rows_in(alone) if row["metric"] == "dice" and row["method"] == "semantic"]
    by_seed = [[row["value"] for row in rows if row["seed"] == seed] for seed in "01"]
    assert len(by_seed[0]) == len(by_seed[1]) > 0
    assert by_seed[0] != by_seed[1]


def test_a_study_in_parts_one_of_which_is_killed_ends_as_one_left_alone(
    alone: Path, started: Started, phantoms: Path
) -> None:
    out = started.elsewhere / "in parts"
    process = started.start(phantoms, "in parts", *TWO_RUNS, "--shard", "2/2")
    while not list(out.glob("runs/own/*/seed */segment */jobs/segment.checkpoint.pt")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(out.rglob("rows.csv"))
    said = started.run(phantoms, "in parts", *TWO_RUNS, "--shard", "1/2")
    assert "study: 2 of 4 tasks are done; the report is made when all are" in said
    assert not made(out) & REPORT
    started.run(phantoms, "in parts", *TWO_RUNS)
    assert made(out) == made(alone)
    for name in SAME:
        assert (out / name).read_bytes() == (alone / name).read_bytes()


def test_what_says_that_runs_are_done_makes_the_report_elsewhere(alone: Path, started: Started, phantoms: Path) -> None:
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^cd study && (find .*?) \|", page, re.M | re.S)
    listed = subprocess.run(["bash", "-c", command], cwd=alone, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        (started.elsewhere / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(alone / name, started.elsewhere / "unpacked" / name)
    said = started.run(phantoms, "unpacked", *TWO_RUNS)
    assert "to run" not in said
    for name in SAME:
        assert (started.elsewhere / "unpacked" / name).read_bytes() == (alone / name).read_bytes()


# the labels of a share


def spoiled(cohort: Path, copy: Path, drawn: Path) -> list[str]:
    """Copy a cohort; label maps of training cases that a run's datalist does not name become garbage. Return those."""
    shutil.copytree(cohort, copy)
    named = {case.id for case in datalist.load(drawn) if case.label is not None}
    lost = [case for case in datalist.load(copy, "training") if case.label is not None and case.id not in named]
    for case in lost:
        assert case.label is not None
        case.label.write_bytes(b"garbage")
    return [case.id for case in lost]


def seed_0(folder: Path) -> list[dict[str, str]]:
    return [row for row in rows_in(folder) if row["seed"] == "0"]


def test_label_maps_outside_the_share_are_read_by_no_stage(
    alone: Path, started: Started, phantoms: Path, tmp_path: Path
) -> None:
    (drawn,) = (alone / "splits" / "own").glob("*/seed 0")
    lost = spoiled(phantoms, tmp_path / "spoiled", drawn)
    assert len(lost) == 1
    started.run(tmp_path / "spoiled", "spoiled", *RUNS, "--seeds", "1")
    found = started.elsewhere / "spoiled"
    assert seed_0(found) == seed_0(alone)
    for path in found.rglob("*.json"):
        assert f"labels/{lost[0]}" not in path.read_text(), path


# a budget


def test_a_study_with_a_budget_measures_costs_and_keeps_to_it(
    started: Started, phantoms: Path, tmp_path: Path, alone: Path
) -> None:
    """Costs too are measured on label maps that a run may see; self-training sees pseudo-labels of the others."""
    (drawn,) = (alone / "splits" / "own").glob("*/seed 0")
    assert spoiled(phantoms, tmp_path / "spoiled", drawn)
    words = ("--strategies", "self-training", "--seeds", "1", "--budget", "50")
    overlay = "tiny numbers with a budget.yaml"
    said = started.run(tmp_path / "spoiled", "with a budget", *words, overlay=overlay)
    assert said.count("study: measuring what ") == 5  # the store and pseudo-labels besides the stages
    out = started.elsewhere / "with a budget"
    (table,) = json.loads((out / "summary.json").read_text())["tables"]
    (cost,) = table["costs"]
    assert table["budget"] == 50
    assert 0.7 * 50 <= cost["planned_seconds"] <= 50  # pseudo-labels and maps are paid, but not planned by themselves
    assert 0.4 * 50 <= cost["training_seconds"] <= 2.5 * 50  # a crowded machine is no clock
    assert cost["flops"] > 0
    assert len(list((out / "costs").glob("*.json"))) == 5
    (pseudo,) = out.glob("runs/own/*/seed 0/pseudo_labels */pseudo")
    lacking = {case.id for case in datalist.load(drawn, "unlabelled")}
    assert {path.name.removesuffix(".nii.gz") for path in pseudo.glob("*.nii.gz")} == lacking != set()
