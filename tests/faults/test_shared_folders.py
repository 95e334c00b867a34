"""Folders that several stages write into, models, jobs and curves: nobody else's file is replaced there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.outputs import MARKER, Output
from tests.faults import Strike, start
from tests.stages import refusal, run_here

NOT_OWN = "a stage would write over, or among, files that are not its own"
INPUT = "a stage would write over its own input"
TRAIN: dict[str, Any] = {
    **{"max_epochs": 1, "epoch_length": 2, "clusters_per_batch": 4, "calibration_batches": 1},
    "encoder_weights": None,
}
PRETRAIN: dict[str, Any] = {"max_epochs": 1, "epoch_length": 2}


def strange(folder: Path, name: str, content: object = "mine") -> dict[str, Any]:
    """Somebody's file in a folder, which is given as ckpt_dir."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return {"ckpt_dir": folder}


def weights_of_another_tool(folder: Path) -> dict[str, Any]:
    """Weights and a note that another tool wrote beside them."""
    given = strange(folder, "model.json", {"format": "keras", "stage": "1"})
    torch.save({"weight": torch.zeros(3)}, folder / "model.pt")
    return given


def among_attention_maps(folder: Path) -> dict[str, Any]:
    """A folder that another stage has marked."""
    Output(folder, "attention maps", "--attention_dir").claim()
    return {"ckpt_dir": folder}


FOREIGN: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "weights called model.pt": ("train", lambda c: strange(c / "mine", "model.pt")),
    "weights of another tool with a note": ("train", lambda c: weights_of_another_tool(c / "mine")),
    "a note called model.json": ("train", lambda c: strange(c / "mine", "model.json", [1])),
    "something called model.calibration.json": (
        "train", lambda c: strange(c / "mine", "model.calibration.json", {"scales": {}})
    ),
    "a label table written by hand": (
        "train", lambda c: strange(c / "mine", "labels.yaml", "# mine\norgans: {spleen: 1}\nphases: [ct]\n")
    ),
    "weights called encoder.pt": ("pretrain", lambda c: strange(c / "mine", "encoder.pt")),
    "a folder of another stage": ("pretrain", lambda c: among_attention_maps(c / "mine")),
    "the folder of label maps": ("train", lambda c: {"ckpt_dir": c / "labels"}),
    "weights called coarse.pt": ("coarse", lambda c: strange(c / "mine", "coarse.pt")),
    "weights called coarse_fold0.pt": ("coarse", lambda c: strange(c / "mine", "coarse_fold0.pt")),
    "a job called train.json": ("train", lambda c: strange(c / "jobs", "train.json", {"job": "mine"}) and {}),
    "a checkpoint of another tool": ("train", lambda c: strange(c / "jobs", "train.checkpoint.pt") and {}),
    "a job called store.json": ("store", lambda c: strange(c / "jobs", "store.json", {"stage": "x"}) and {}),
    "a curve of another kind": ("train", lambda c: strange(c / "curves", "train.csv", "epoch,loss\n1,0.5\n") and {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def attended(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort with label maps as attention maps, and a query store."""
    cohort = Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("attended") / "cohort"))
    shutil.copytree(cohort / "labels", cohort / "attention")
    run_here("store", dataset_dir=cohort)
    return cohort


def numbers(stage: str) -> dict[str, Any]:
    few = {"train": TRAIN, "pretrain": PRETRAIN, "coarse": {**PRETRAIN, "maps": False}}
    return few.get(stage, {})


@pytest.mark.parametrize("name", FOREIGN)
def test_somebodys_file_in_a_shared_folder_is_never_replaced(name, attended, tmp_path):
    stage, spoil = FOREIGN[name]
    cohort = Path(shutil.copytree(attended, tmp_path / "cohort", ignore=shutil.ignore_patterns("jobs")))
    given = spoil(cohort)
    before = {path: path.read_bytes() for path in cohort.rglob("*") if path.is_file()}
    message = refusal(stage, dataset_dir=cohort, **numbers(stage), **given)
    assert (INPUT if name == "the folder of label maps" else NOT_OWN) in message
    assert {path: path.read_bytes() for path in before} == before
    assert not list((cohort / "jobs").glob("*.checkpoint.pt")) or "checkpoint" in name


def test_other_files_stay_where_models_are_written(attended, tmp_path):
    cohort = Path(shutil.copytree(attended, tmp_path / "cohort"))
    given = strange(cohort / "mine", "resnet.pt")
    for _ in range(2):  # the second run replaces the first one's
        run_here("train", dataset_dir=cohort, **TRAIN, **given)
    assert (cohort / "mine" / "resnet.pt").read_text() == "mine"
    marked = json.loads((cohort / "mine" / MARKER).read_text())
    assert marked == {
        "holds": "models", "files": ["labels.yaml", "model.calibration.json", "model.json", "model.pt"]
    }  # fmt: skip


def test_what_an_earlier_version_wrote_is_replaced(attended, tmp_path):
    cohort = Path(shutil.copytree(attended, tmp_path / "cohort"))
    run_here("train", dataset_dir=cohort, **TRAIN)
    for mark in ("models/.semcl.json", "curves/.semcl.json", "jobs/train.lock"):
        (cohort / mark).unlink()
    (cohort / "jobs" / "train.checkpoint.pt").write_bytes(b"of an interrupted run")
    before = (cohort / "models" / "model.pt").stat().st_mtime_ns
    run_here("train", dataset_dir=cohort, **TRAIN)
    assert (cohort / "models" / "model.pt").stat().st_mtime_ns > before
    assert (cohort / "jobs" / "train.checkpoint.previous.pt").read_bytes() == b"of an interrupted run"


# where the run is killed: before the first file of a folder, between weights and note, before the calibration
KILLED = {
    "before the first curve": Strike("scripts.job.progress", "write_csv", 1),
    "between weights and their note": Strike("scripts.job.weights", "write_text", 1),
    "before the calibration": Strike("scripts.refine.calibration", "write_text", 1),
}


@pytest.mark.parametrize("when", KILLED)
def test_a_killed_run_finds_its_folders_its_own(when, attended, tmp_path):
    cohort = Path(shutil.copytree(attended, tmp_path / "cohort"))
    given = TRAIN | {"dataset_dir": cohort, "ckpt_dir": cohort / "mine"}
    process = start("train", tmp_path / "log", KILLED[when], given)
    process.join()
    assert process.exitcode == -9, (tmp_path / "log").read_text()
    for mark in ("mine/.semcl.json", "curves/.semcl.json", "jobs/train.lock"):
        assert (cohort / mark).is_file()
    (cohort / "jobs" / "train.json").write_text("{")  # is for show, and the lock shows whose it was
    resume = (cohort / "jobs" / "train.checkpoint.pt").is_file()
    run_here("train", resume=resume, **given)
    assert {path.name for path in (cohort / "mine").glob("model*")} == {
        "model.pt", "model.json", "model.calibration.json"
    }  # fmt: skip


def test_a_marker_that_was_damaged_protects_nothing_but_harms_nothing(tmp_path):
    (tmp_path / MARKER).write_text('{"holds": "models", "files": 3}')
    (tmp_path / "model.pt").write_text("mine")
    own = Output(tmp_path, "models", "--ckpt_dir")
    with pytest.raises(SemclError, match=NOT_OWN):
        own.claim_files(["model.pt"], lambda path: False)
    own.claim_files(["encoder.pt"], lambda path: False)
    assert json.loads((tmp_path / MARKER).read_text())["files"] == ["encoder.pt"]


def test_a_table_that_is_the_same_keeps_its_comments(attended, tmp_path):
    cohort = Path(shutil.copytree(attended, tmp_path / "cohort"))
    text = "# mine\n" + (cohort / "labels.yaml").read_text()
    given = strange(cohort / "mine", "labels.yaml", text)
    run_here("train", dataset_dir=cohort, **TRAIN, **given)
    assert (cohort / "mine" / "labels.yaml").read_text() == text
    assert LabelTable.load(cohort / "mine") == LabelTable.load(cohort)
