"""Interrupted runs end with the weights, maps and curves of an uninterrupted one."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.cohort import datalist
from scripts.refine.calibration import Calibration
from tests.faults import Filled, Offline, Spoiled, SpoiledStore, Strike, start
from tests.stages import ROOT, SMALL

EPOCH = 3  # steps
SHORT: dict[str, dict[str, Any]] = {
    "coarse": {"max_epochs": 2, "epoch_length": EPOCH},  # in each of 3 rounds
    "pretrain": {"max_epochs": 3, "epoch_length": EPOCH, "clusters_per_batch": 4, "queries_per_cluster": 2},
    "train": {"max_epochs": 3, "epoch_length": EPOCH, "clusters_per_batch": 4},
    "inference": {"section": "all"},
    "evaluate": {},
    "store": {},
    "embed": {},
}
OWN = {
    "coarse": ("attention/*", "curves/coarse.csv", "models/coarse*", "models/labels.yaml"),
    "pretrain": ("curves/pretrain.csv", "models/encoder.*", "models/labels.yaml"),
    "train": ("curves/train.csv", "models/model.*", "models/labels.yaml"),
    "inference": ("predictions/*.nii.gz",),
}
STEP = ("scripts.job.progress:Progress", "step")
MAP = ("scripts.coarse.maps", "write_label_map")


@dataclass
class Run:
    """Runs of a stage on the phantom cohort that write into one folder."""

    stage: str
    cohort: Path
    out: Path
    given: dict[str, Any] = field(default_factory=dict)

    def start(self, harm: Any = None, **overrides: Any) -> Any:
        """Start it in a process of its own."""
        self.out.mkdir(parents=True, exist_ok=True)
        folders = {"dataset_dir": str(self.cohort), "output_dir": str(self.out)}
        return start(self.stage, self.log, harm, folders | SHORT[self.stage] | self.given | overrides)

    def __call__(self, harm: Any = None, **overrides: Any) -> int:
        """Run it to its end; its exit code, that of a signal negative."""
        process = self.start(harm, **overrides)
        process.join()
        return int(process.exitcode)

    @property
    def log(self) -> Path:
        return self.out / f"{self.stage}.log"

    @property
    def checkpoint(self) -> Path:
        return self.out / "jobs" / f"{self.stage}.checkpoint.pt"

    def status(self) -> str:
        return str(json.loads((self.out / "jobs" / f"{self.stage}.json").read_text())["status"])

    def made(self) -> dict[str, Any]:
        """What it leaves behind, by name: weights as tensors, anything else as bytes."""
        files = [path for pattern in OWN[self.stage] for path in self.out.glob(pattern)]
        return {str(path.relative_to(self.out)): content(path) for path in files if not path.name.startswith(".")}


def content(path: Path) -> Any:
    return torch.load(path, weights_only=True) if path.suffix == ".pt" else path.read_bytes()


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two runs left the same behind, weights bit for bit."""

    def alike(one: Any, other: Any) -> bool:
        if isinstance(one, bytes):
            return bool(one == other)
        return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)

    return sorted(first) == sorted(second) and all(alike(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def whole(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Every stage, run without interruption and without a network."""
    out = tmp_path_factory.mktemp("whole")
    labels, runs = str(phantoms / "labels"), {}
    given = {stage: {"attention_dir": labels} for stage in ("pretrain", "train", "inference")}
    for stage in (*OWN, "evaluate"):
        runs[stage] = Run(stage, phantoms, out, given.get(stage, {}))
        assert runs[stage](Offline(out / "network")) == 0, runs[stage].log.read_text()
    return runs


@pytest.fixture
def again(whole: dict[str, Run], tmp_path: Path) -> Any:
    """Makes a run of a stage into a folder of its own that holds what the stage needs of those before it."""

    def make(stage: str, out: Path = tmp_path / "out", **given: Any) -> Run:
        before = whole[stage].out
        if stage in ("pretrain", "train"):
            given = {"store_dir": str(before / "store")} | given
        if stage == "train":
            (out / "models").mkdir(parents=True)
            for path in (before / "models").glob("encoder.*"):
                shutil.copy(path, out / "models")
        if stage == "inference":
            given = {"ckpt_dir": str(before / "models")} | given
        return Run(stage, whole[stage].cohort, out, whole[stage].given | given)

    return make


# killed and resumed


def killed_at_random() -> Iterator[tuple[str, str, Strike, dict[str, Any]]]:
    """A random step of each epoch that has a checkpoint before it, or of each round."""
    rng = random.Random(2024)
    for stage, epochs in {"pretrain": 3, "train": 3, "coarse": 6}.items():
        for first in range(EPOCH, epochs * EPOCH, EPOCH if stage != "coarse" else 2 * EPOCH):
            step = first + rng.randint(1, EPOCH)
            yield f"{stage}, step {step}", stage, Strike(*STEP, step), {}
    step = EPOCH + rng.randint(1, EPOCH)
    yield f"pretrain with loader processes, step {step}", "pretrain", Strike(*STEP, step), {"num_workers": 2}
    call = rng.randint(1, 2)
    yield f"coarse, attention of the first round, map {call}", "coarse", Strike(*MAP, call), {}
    call = rng.randint(3, 5)
    yield f"coarse, attention of a later round, map {call}", "coarse", Strike(*MAP, call), {}


MOMENTS: dict[str, tuple[str, Strike, dict[str, Any]]] = {
    **{name: row for name, *row in killed_at_random()},
    "coarse, before the weights of the second round": (
        "coarse",
        Strike("scripts.coarse.cross_fitting", "save_weights", 2),
        {},
    ),
    "coarse, while maps are moved": ("coarse", Strike("scripts.coarse.cross_fitting", "attention_path", 2 * 2), {}),
    "coarse, when all maps are moved": ("coarse", Strike("scripts.job.job:Job", "finish", 1), {}),
    "pretrain, before the weights are written": ("pretrain", Strike("scripts.job.weights", "save_weights", 1), {}),
    "pretrain, when the weights are written": ("pretrain", Strike("scripts.job.job:Job", "finish", 1), {}),
    "pretrain, between curve and checkpoint": ("pretrain", Strike("scripts.job.checkpoint:Checkpoint", "save", 2), {}),
    "train, while a checkpoint is written": ("train", Strike("torch", "save", 2), {}),
    "train, before a checkpoint is flushed": ("train", Strike("os", "fsync", 8), {}),
}


@pytest.mark.parametrize(("stage", "strike", "given"), MOMENTS.values(), ids=MOMENTS.keys())
def test_a_killed_and_resumed_run_ends_like_an_uninterrupted_one(stage, strike, given, whole, again):
    run = again(stage, **given)
    assert run(strike) == -signal.SIGKILL, run.log.read_text()
    assert run.status() == "running"
    assert run(resume=True) == 0, run.log.read_text()
    assert run.status() == "completed"
    assert not run.checkpoint.exists()
    assert same(run.made(), whole[stage].made())


@pytest.mark.parametrize(
    "strike",
    [
        Strike("scripts.refine.calibration_fit:Calibrate", "count", 1),
        Strike("scripts.refine.calibration", "write_text", 1),
    ],
    ids=["before the calibration", "while the calibration is written"],
)
def test_train_that_was_killed_after_its_weights_were_written_calibrates_them_when_resumed(strike, whole, again):
    run = again("train")
    assert run(strike) == -signal.SIGKILL, run.log.read_text()
    assert same({"pt": content(run.out / "models" / "model.pt")}, {"pt": whole["train"].made()["models/model.pt"]})
    assert not (run.out / "models" / "model.calibration.json").exists()
    assert run.status() == "running"
    assert run(resume=True) == 0, run.log.read_text()
    assert "models/model.calibration.json" in run.made()
    assert same(run.made(), whole["train"].made())


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("stage", ["coarse", "pretrain", "train"])
def test_killed_runs_of_other_seeds_end_alike(stage, seed, again, tmp_path):
    """A run killed at a random step, and an uninterrupted run of the same seed."""
    alone, run = again(stage, out=tmp_path / "alone"), again(stage, out=tmp_path / "killed")
    assert alone(seed=seed) == 0, alone.log.read_text()
    assert run(Strike(*STEP, random.Random(seed).randint(EPOCH + 1, 3 * EPOCH)), seed=seed) == -signal.SIGKILL
    assert run(seed=seed, resume=True) == 0, run.log.read_text()
    assert same(run.made(), alone.made())


def test_a_run_killed_twice_ends_like_an_uninterrupted_one(whole, again):
    run = again("pretrain")
    assert run(Strike(*STEP, EPOCH + 1)) == -signal.SIGKILL
    assert run(Strike(*STEP, EPOCH + 2), resume=True) == -signal.SIGKILL
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole["pretrain"].made())


def test_a_case_that_failed_before_the_interruption_is_named_by_the_resumed_run(again, cohort):
    bad = next(case for case in datalist.load(cohort) if case.fold == 0)
    scan = bad.image.read_bytes()
    run = again("coarse")
    run.cohort = cohort
    assert run(Spoiled(bad.image, Strike(*STEP, 4 * EPOCH))) == -signal.SIGKILL, run.log.read_text()
    bad.image.write_bytes(scan)
    assert run(resume=True) == 3, run.log.read_text()
    assert not (run.out / "attention" / f"{bad.id}.nii.gz").exists()
    assert f"coarse: 1 case failed, the others are done: {bad.id}" in run.log.read_text()


# stopped


@pytest.mark.parametrize(
    ("stage", "number", "why", "code", "given"),
    [
        ("coarse", signal.SIGALRM, "the time limit", 75, {}),
        ("train", signal.SIGTERM, "SIGTERM", 75, {}),
        ("pretrain", signal.SIGHUP, "SIGHUP", 75, {"num_workers": 1}),
        ("train", signal.SIGINT, "SIGINT", 130, {}),
    ],
    ids=["coarse, by the time limit", "train, by SIGTERM", "pretrain, by a closed terminal", "train, by Ctrl-C"],
)
def test_a_stopped_run_reports_it_and_can_be_resumed(stage, number, why, code, given, whole, again):
    run = again(stage, **given)
    assert run(Strike(*STEP, 2 * EPOCH + 2, number), time_limit=60) == code, run.log.read_text()
    assert run.status() == "interrupted"
    assert f"{stage}: stopped by {why}; go on with --resume True" in run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole[stage].made())


@pytest.mark.parametrize(
    ("stage", "place", "number", "code"),
    [
        ("store", ("scripts.queries.building", "write_array", 4), signal.SIGTERM, 75),
        ("embed", ("scripts.embeddings.embedding", "embed_queries", 2), signal.SIGINT, 130),
        ("evaluate", ("scripts.evaluate.rows", "measure_organ", 2), signal.SIGHUP, 75),
    ],
    ids=["store, by SIGTERM", "embed, by Ctrl-C", "evaluate, by a closed terminal"],
)
def test_a_stage_over_cases_that_is_stopped_is_run_again(stage, place, number, code, whole, tmp_path):
    given = {"attention_dir": str(whole["train"].cohort / "labels"), "ckpt_dir": str(whole["train"].out / "models")}
    given |= {"prediction_dir": str(whole["inference"].out / "predictions")}
    run = Run(stage, whole["train"].cohort, tmp_path / "out", given)
    assert run(Strike(*place, number)) == code, run.log.read_text()
    assert run.status() == "interrupted"
    assert f"{stage}: stopped by {number.name}; run it again" in run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    assert run() == 0, run.log.read_text()


def test_a_stage_on_the_command_line_is_stopped_and_resumed(whole, again):
    run = again("pretrain")
    given = {"dataset_dir": run.cohort, "output_dir": run.out} | SMALL["pretrain"] | SHORT["pretrain"] | run.given
    arguments = ["monai.bundle", "run", "--config_file", str(ROOT / "bundle" / "configs" / "pretrain.yaml")]
    arguments += [word for key, value in given.items() for word in (f"--{key}", str(value))]
    strike = f"from tests.faults import Strike; Strike(*{STEP}, {EPOCH + 2}, 15)()"
    strike = f"import signal; {strike.replace('15', 'signal.SIGTERM')}; import runpy, sys; sys.argv = {arguments}"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    program = f"{strike}; runpy.run_module('monai.bundle', run_name='__main__')"
    stopped = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert stopped.returncode == 75, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert run.status() == "interrupted"
    command = [sys.executable, "-m", *arguments, "--resume", "True"]
    resumed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert same(run.made(), whole["pretrain"].made())


def test_stopped_inference_does_not_suggest_resume(again):
    run = again("inference")
    assert run(Strike("scripts.refine.volumes", "write_volume", 2, signal.SIGTERM)) == 75
    assert run.status() == "interrupted"
    assert "--resume" not in run.log.read_text()


# gone wrong


@pytest.mark.parametrize("stage", ["coarse", "train"])
def test_training_with_a_nan_loss_ends_and_keeps_earlier_weights(stage, whole, again):
    run = again(stage)
    models = Path(shutil.copytree(whole[stage].out / "models", run.out / "models", dirs_exist_ok=True))
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    assert run(learning_rate="$1e20") == 1
    assert re.search(r"error: training failed in epoch 1, step \d\n", run.log.read_text()), run.log.read_text()
    assert "the weights of earlier runs are kept" in run.log.read_text()
    assert run.status() == "failed"
    assert {path.name: path.read_bytes() for path in models.iterdir()} == before


@pytest.mark.parametrize(
    ("stage", "name", "given"),
    [
        ("train", "encoder.pt", {}),
        ("inference", "model.pt", {"calibrated": False, "keep_slices": True}),
        ("inference", "coarse.pt", {"attention_dir": "nowhere"}),
    ],
)
def test_no_stage_loads_weights_that_are_not_finite(stage, name, given, whole, again, tmp_path):
    models = Path(shutil.copytree(whole[stage].out / "models", tmp_path / "models"))
    broken = {
        key: value * torch.nan if value.is_floating_point() else value for key, value in content(models / name).items()
    }
    torch.save(broken, models / name)
    run = again(stage, ckpt_dir=str(models), **given)
    assert run() == 1
    assert f"error: {name} holds weights that are not finite" in run.log.read_text()
    assert run.status() == "failed"
    assert not list(run.out.rglob("*.nii.gz"))


# the query store of a run that reads it


@pytest.mark.parametrize(("harm", "workers"), [("deleted", 0), ("cut", 1)])
def test_a_damaged_query_store_ends_training_at_its_checkpoint_and_is_rebuilt(harm, workers, whole, again, tmp_path):
    store = Path(shutil.copytree(whole["pretrain"].out / "store", tmp_path / "store"))
    run = again("pretrain", store_dir=str(store), num_workers=workers)
    assert run(SpoiledStore(store, harm, EPOCH + 1)) == 1
    printed = run.log.read_text()
    assert re.search(r"error: case \S+: the query store was changed while it was in use", printed), printed
    assert "--resume True" in printed
    assert run.status() == "failed"
    assert torch.load(run.checkpoint, weights_only=True)["epoch"] >= 1
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole["pretrain"].made())


# the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """A folder on a disk of its own, where one may be mounted; another folder elsewhere."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    own = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield folder, own
    if own:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("mounted", [True, False], ids=["a full disk", "files that may not grow"])
def test_a_disk_that_fills_up_keeps_the_last_whole_checkpoint(mounted, small_disk, whole, again):
    folder, own = small_disk
    run = again("pretrain", out=folder)
    assert run(Filled(folder, EPOCH + 2, own and mounted)) == 1
    assert "error: the checkpoint cannot be written" in run.log.read_text()
    assert "the last whole checkpoint is untouched" in run.log.read_text()
    assert run.status() == "failed"
    assert torch.load(run.checkpoint, weights_only=True)["epoch"] == 1
    (folder / "filler").unlink(missing_ok=True)
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole["pretrain"].made())


def test_a_full_disk_elsewhere_is_reported_and_the_run_resumes_later(whole, again):
    run = again("coarse")
    assert run(Strike("scripts.coarse.cross_fitting", "save_weights", 2, ENOSPC)) == 1
    assert "error: the disk is full" in run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    assert run.status() == "failed"
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole["coarse"].made())


# two runs, and what lies about


def test_a_second_run_is_refused_until_the_first_is_dead(whole, again):
    run = again("pretrain")
    first = run.start(Strike(*STEP, EPOCH + 2, signal.SIGSTOP))
    while not run.checkpoint.exists():
        time.sleep(0.05)
        assert first.is_alive(), run.log.read_text()
    assert run(resume=True) == 1
    assert "error: another run of pretrain is writing here" in run.log.read_text()
    first.kill()
    first.join()
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole["pretrain"].made())


def test_a_new_run_does_not_continue_an_interrupted_one(whole, again):
    run = again("coarse")
    assert run(Strike(*STEP, 4 * EPOCH), seed=5) == -signal.SIGKILL
    assert run() == 0, run.log.read_text()
    assert "started from scratch; the interrupted run's checkpoint is kept" in run.log.read_text()
    assert (run.out / "jobs" / "coarse.checkpoint.previous.pt").is_file()
    assert same(run.made(), whole["coarse"].made())


def test_temporary_files_of_a_killed_writer_are_never_read(whole, again):
    run = again("coarse")
    assert run(Strike(*STEP, EPOCH + 1)) == -signal.SIGKILL
    for path in [path for path in run.out.rglob("*") if path.is_file() and path != run.log]:
        for number in (1, 4711):
            path.with_name(f".{number}.{path.name}").write_bytes(b"half a")
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole["coarse"].made())


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "another number": ({"learning_rate": 0.5}, "learning_rate: 0.004 before, 0.5 now"),
    "another seed": ({"seed": 7}, "seed: 0 before, 7 now"),
    "fewer epochs": ({"max_epochs": 2}, "max_epochs: 3 before, 2 now"),
    "another cohort": ({"dataset_dir": "other"}, "cohort: "),
    "another label table": ({"dataset_dir": "renamed"}, "labels: "),
}


@pytest.fixture(scope="module")
def killed(whole: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A pretrain run that was killed in its second epoch; not to be resumed."""
    given = whole["pretrain"].given | {"store_dir": str(whole["pretrain"].out / "store")}
    run = Run("pretrain", whole["pretrain"].cohort, tmp_path_factory.mktemp("killed"), given)
    assert run(Strike(*STEP, EPOCH + 1)) == -signal.SIGKILL
    return run


@pytest.mark.parametrize(("change", "printed"), CHANGES.values(), ids=CHANGES.keys())
def test_a_run_of_another_config_or_cohort_is_not_resumed(change, printed, killed, tmp_path):
    change = dict(change)
    if "dataset_dir" in change:
        other = Path(shutil.copytree(killed.cohort, tmp_path / change["dataset_dir"]))
        name, old, new = {"other": ("datalist.json", '"patient001"', '"somebody"')}.get(
            change["dataset_dir"], ("labels.yaml", "liver", "my_liver")
        )
        (other / name).write_text((other / name).read_text().replace(old, new))
        change["dataset_dir"] = str(other)
    before = killed.checkpoint.read_bytes()
    already = len(killed.log.read_text())
    assert killed(resume=True, **change) == 1
    message = killed.log.read_text()[already:]
    assert "error: the checkpoint is of another run" in message
    assert printed in message
    assert killed.checkpoint.read_bytes() == before


def test_another_folder_of_the_same_cohort_may_be_resumed(whole, again, tmp_path):
    run = again("pretrain")
    assert run(Strike(*STEP, EPOCH + 1)) == -signal.SIGKILL
    run.out = Path(shutil.move(run.out, tmp_path / "moved"))
    assert run(resume=True) == 0, run.log.read_text()
    assert same(run.made(), whole["pretrain"].made())


# the query store


def test_a_query_store_whose_building_was_killed_is_finished(whole, again, tmp_path):
    run = again("pretrain", store_dir=str(tmp_path / "store"))
    assert run(Strike("scripts.queries.building", "write_array", 11)) == -signal.SIGKILL
    built = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/case.json")}
    assert built
    assert run(resume=True) == 1
    assert "error: there is nothing to resume" in run.log.read_text()
    assert run() == 0, run.log.read_text()
    assert {path: path.stat().st_mtime_ns for path in built} == built
    assert same(run.made(), whole["pretrain"].made())


# inference


def predicted(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run.out / "predictions").glob("[!.]*.nii.gz")}


def test_killed_inference_continues_with_the_missing_cases(whole, again):
    run = again("inference")
    assert run(Strike("scripts.refine.volumes", "write_volume", 3)) == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in (run.out / "predictions").glob("*.nii.gz")}
    assert len(done) == 2
    assert run() == 0, run.log.read_text()
    assert "2 of 6 predictions are up to date and kept" in run.log.read_text()
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert predicted(run) == predicted(whole["inference"])


def test_predictions_of_other_weights_are_made_again(whole, again, tmp_path):
    models = Path(shutil.copytree(whole["inference"].out / "models", tmp_path / "models"))
    run = again("inference", ckpt_dir=str(models))
    shutil.copytree(whole["inference"].out / "predictions", run.out / "predictions")
    weights, calibration = torch.load(models / "model.pt", weights_only=True), Calibration.read(models / "model.pt")
    torch.save(
        {name: value * 0.5 if value.is_floating_point() else value for name, value in weights.items()},
        models / "model.pt",
    )
    calibration.write(models / "model.pt", "other weights")
    before = {path: path.stat().st_mtime_ns for path in (run.out / "predictions").glob("*.nii.gz")}
    assert run(Strike("scripts.refine.volumes", "write_volume", 3)) == -signal.SIGKILL
    assert len(predicted(run)) == 2  # none of the others is left beside them
    assert run() == 0, run.log.read_text()
    assert all(path.stat().st_mtime_ns != stamp for path, stamp in before.items())


def test_a_scan_that_cannot_be_read_is_named_and_the_others_are_segmented(whole, again, cohort):
    bad = datalist.load(cohort, "testing")[0]
    bad.image.write_bytes(b"no volume")
    run = again("inference")
    assert run(dataset_dir=str(cohort)) == 3
    log = run.log.read_text()
    assert f"error: case {bad.id}: a volume cannot be read" in log
    assert f"inference: 1 case failed, the others are done: {bad.id}" in log
    note = json.loads((run.out / "jobs" / "inference.json").read_text())
    assert (note["status"], note["failed_cases"]) == ("completed", [bad.id])
    left = predicted(whole["inference"])
    del left[f"{bad.id}.nii.gz"]
    assert predicted(run) == left


def test_the_next_run_segments_the_repaired_scan(whole, again, cohort):
    bad = datalist.load(cohort, "testing")[0]
    scan = bad.image.read_bytes()
    bad.image.write_bytes(b"no volume")
    run = again("inference")
    assert run(dataset_dir=str(cohort)) == 3
    bad.image.write_bytes(scan)
    assert run(dataset_dir=str(cohort)) == 0, run.log.read_text()
    assert "5 of 6 predictions are up to date and kept" in run.log.read_text()
    assert predicted(run) == predicted(whole["inference"])


# no network


def test_no_stage_accesses_the_internet(whole):
    note = whole["evaluate"].out / "network"
    assert (whole["evaluate"].out / "report.html").is_file()
    assert not note.exists(), note.read_text()


def test_maps_made_offline_are_whole(whole):
    for case in datalist.load(whole["coarse"].cohort):
        coarse_map = nib.load(whole["coarse"].out / "attention" / f"{case.id}.nii.gz")
        assert np.asarray(coarse_map.dataobj).shape == nib.load(case.image).shape
