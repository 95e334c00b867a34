"""Every stage with every early failure: each file of the output folder is the same, byte for byte, after it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.cohort.label_table import LabelTable
from scripts.errors import root_cause
from scripts.job.lock import Locks
from tests.stages import SMALL, run_here

LENGTH = {"max_epochs": 1, "epoch_length": 2}
READ = {  # stage -> the weights that it cannot do without
    "train": ("encoder.pt",),
    "inference": ("model.pt",),
    "maps": ("coarse.pt", "coarse_fold0.pt", "coarse_fold1.pt"),
    "segment": ("encoder.pt",),
    "segment_inference": ("segment.pt",),
    "embed": ("encoder.pt",),
}
ORGANS_NOTED = ("inference", "segment_inference", "embed")  # stages that take the label table beside their weights
SCANS_READ = ("coarse", "pretrain", "train", "segment", "pretrain_slices", "store")  # stages that stop at a bad scan
OTHER_OUTPUT = (
    *("attention.partial/a.nii.gz", "embeddings/a.npy", "audit/audit.csv", "figures/a.svg", "pictures/a.png"),
    *("report.html", "rows.csv", "summary.json", "models/notes.txt"),
)


@dataclass(frozen=True)
class Failure:
    """What goes wrong: what is done to the cohort, what is given to the stage, and what it says."""

    says: str
    given: dict[str, Any]
    harm: Callable[[Path], None] = lambda cohort: None
    stages: tuple[str, ...] = tuple(SMALL)


def each_model(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Change every file of weights, which stay older than what was made with them."""

    def harm(cohort: Path) -> None:
        for path in (cohort / "models").glob("*.pt"):
            change(path)

    return harm


def with_nan(path: Path) -> None:
    """Make one weight of a file NaN."""
    state = torch.load(path, weights_only=True)
    next(iter(state.values()))[0] = float("nan")
    torch.save(state, path)


def of_another_shape(path: Path) -> None:
    """Give one entry of a file more dimensions."""
    state = torch.load(path, weights_only=True)
    torch.save({name: value[None] for name, value in state.items()}, path)


def forget_settings(path: Path) -> None:
    """Remove the settings from the note beside weights, as earlier versions wrote it."""
    note = path.with_suffix(".json")
    note.write_text(
        json.dumps({key: value for key, value in json.loads(note.read_text()).items() if key != "settings"})
    )


def turn_organs(cohort: Path) -> None:
    """Put the organs beside the weights into another order."""
    table = LabelTable.load(cohort / "models")
    replace(table, organs=table.organs[::-1]).save(cohort / "models")


def cut_scans(cohort: Path) -> None:
    """Cut every scan off in its middle, and forget what was stored of them."""
    for path in (cohort / "images").iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    shutil.rmtree(cohort / "store", ignore_errors=True)


FAILURES = {
    "a mistyped key": Failure("unknown key --no_such_key", {"no_such_key": 1}),
    "a number out of bounds": Failure("--seed", {"seed": -1}),
    "a value of the wrong kind": Failure("--num_workers is of the wrong kind", {"num_workers": "many"}),
    "no such cohort": Failure("/nowhere", {"dataset_dir": "/nowhere"}),
    "another run in the folder": Failure("another run of .* is writing here", {}),
    "a datalist that cannot be read": Failure(
        "datalist.json", {}, lambda cohort: (cohort / "datalist.json").write_text('{"training": [')
    ),
    "a label table that cannot be read": Failure(
        "labels.yaml",
        {},
        lambda cohort: (cohort / "labels.yaml").write_text("organs: {liver: ["),
        stages=tuple(stage for stage in SMALL if stage not in ORGANS_NOTED),
    ),
    "scans that are cut": Failure("cannot be read|could not be read", {}, cut_scans, SCANS_READ),
    "weights that are missing": Failure("missing", {}, each_model(Path.unlink), tuple(READ)),
    "weights that are cut": Failure(
        "cannot be read", {}, each_model(lambda path: path.write_bytes(b"cut")), tuple(READ)
    ),
    "weights with NaN": Failure("not finite", {}, each_model(with_nan), tuple(READ)),
    "weights of another network": Failure("does not fit the network", {}, each_model(of_another_shape), tuple(READ)),
    "weights without settings": Failure("does not say which settings", {}, each_model(forget_settings), tuple(READ)),
    "settings that contradict the weights": Failure(
        r"(?s)window \[-1, 1\].*window \[-160, 240\]", {"window": [-1, 1]}, stages=tuple(READ)
    ),
    "weights of other organs": Failure("another label table", {}, turn_organs, ORGANS_NOTED),
}
TABLE = [(stage, failure) for failure, one in FAILURES.items() for stage in one.stages]


@pytest.fixture(scope="module")
def finished(predicted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort after the stages that train, with output that other stages might have left."""
    cohort = Path(shutil.copytree(predicted, tmp_path_factory.mktemp("finished") / "cohort"))
    given = {"dataset_dir": cohort, "attention_dir": cohort / "by_hand"}
    run_here("pretrain_slices", dataset_dir=cohort, **LENGTH)
    for suffix in (".pt", ".json"):
        (cohort / "models" / f"encoder{suffix}").rename(cohort / "models" / f"slices{suffix}")
    run_here("pretrain", **given, **LENGTH, val_interval=0)
    run_here("segment", dataset_dir=cohort, **LENGTH)
    for name in OTHER_OUTPUT:
        (cohort / name).parent.mkdir(exist_ok=True)
        (cohort / name).write_bytes(b"of an earlier run")
    return cohort


@pytest.fixture(scope="module")
def harmed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, dict[str, bytes]]]:
    """The cohort of a failure, made once for all stages, and its content."""
    made = dict[str, tuple[Path, dict[str, bytes]]]()

    def cohort_of(failure: str) -> tuple[Path, dict[str, bytes]]:
        if failure not in made:
            cohort = Path(shutil.copytree(finished, tmp_path_factory.mktemp("harmed") / "cohort"))
            for stage in SMALL:
                (cohort / "jobs" / f"{stage}.checkpoint.pt").write_bytes(b"of an interrupted run")
                (cohort / "jobs" / f"{stage}.lock").touch()
            FAILURES[failure].harm(cohort)
            made[failure] = cohort, content(cohort)
        return made[failure]

    return cohort_of


def content(folder: Path) -> dict[str, bytes]:
    """All files but the manifests, which say how the last run ended."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if not (path.parent.name == "jobs" and path.suffix == ".json")
    }


def given_to(stage: str, cohort: Path) -> dict[str, Any]:
    """What a stage is given: folders, and the weights it would otherwise do without."""
    weights = {"encoder_weights": cohort / "models" / "slices.pt"} if stage == "segment" else {}
    maps = (
        {}
        if stage in ("coarse", "maps") or "segment" in stage or "slices" in stage
        else {"attention_dir": cohort / "by_hand"}
    )
    return {"dataset_dir": cohort, "output_dir": cohort} | weights | maps


@pytest.mark.parametrize(("stage", "failure"), TABLE)
def test_a_stage_that_fails_early_leaves_every_file_as_it_was(stage, failure, harmed):
    cohort, before = harmed(failure)
    other = Locks(cohort / "jobs")
    if failure == "another run in the folder":
        other.claim({stage: False})
    try:
        with pytest.raises(Exception, match=r".") as raised:
            run_here(stage, **(given_to(stage, cohort) | FAILURES[failure].given))
    finally:
        other.release()
    assert re.search(FAILURES[failure].says, str(root_cause(raised.value) or raised.value))
    after = content(cohort)
    assert {name: after.get(name) for name in before} == before
