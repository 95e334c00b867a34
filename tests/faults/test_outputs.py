"""Stages write only into their own folders and change no other file, also when they fail early."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import yaml

from scripts.__main__ import check, prepare
from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.commands.evaluate import evaluate
from scripts.commands.phantom import phantom
from scripts.errors import SemclError
from tests.conftest import write_nifti
from tests.faults.inputs import TABLE, Folder, ct, organs
from tests.stages import ROOT, refusal, run_here
from tools import fresh
from tools.release import NAME, release

NOT_OWN = "a folder holds what is not this stage's own"
INPUT = "a stage would write over its own input"
STRANGE = "a file of that name exists and is not ours"


def everything(folder: Path) -> dict[Path, bytes]:
    """Every file but a stage's notes of its run."""
    found = [path for path in folder.rglob("*") if path.is_file() and "jobs" not in path.parts]
    return {path: path.read_bytes() for path in found}


# stages, and folders that hold somebody's files


def scans_only(cohort: Path) -> dict[str, Any]:
    """Scans in a plain folder, and predictions to be written into it."""
    return {"dataset_dir": cohort / "images", "prediction_dir": cohort / "images", "output_dir": cohort / "out"}


def linked(cohort: Path) -> dict[str, Any]:
    """The folder of label maps by another name."""
    (cohort / "maps").symlink_to(cohort / "labels")
    return {"dataset_dir": cohort, "attention_dir": cohort / "maps"}


def notes(cohort: Path) -> Path:
    """A folder with foreign files."""
    (cohort / "mine").mkdir()
    (cohort / "mine" / "notes.txt").write_text("mine")
    return cohort / "mine"


STAGES: dict[str, tuple[str, Callable[[Path], dict[str, Any]], str]] = {
    "coarse into label maps": ("coarse", lambda c: {"attention_dir": c / "labels"}, INPUT),
    "coarse into scans": ("coarse", lambda c: {"attention_dir": c / "images"}, INPUT),
    "coarse into label maps by a link": ("coarse", linked, INPUT),
    "coarse into the cohort's folder": ("coarse", lambda c: {"attention_dir": c}, NOT_OWN),
    "coarse into another folder": ("coarse", lambda c: {"attention_dir": notes(c)}, NOT_OWN),
    "maps into label maps": ("maps", lambda c: {"attention_dir": c / "labels"}, INPUT),
    "maps into scans": ("maps", lambda c: {"attention_dir": c / "images"}, INPUT),
    "inference into scans": ("inference", scans_only, INPUT),
    "inference into label maps": ("inference", lambda c: {"prediction_dir": c / "labels"}, INPUT),
    "inference into label maps, by another path": (
        "inference", lambda c: {"prediction_dir": c / "images" / ".." / "labels", "section": "all"}, INPUT
    ),
    "inference into the cohort's folder": ("inference", lambda c: {"prediction_dir": c}, NOT_OWN),
    "inference into another folder": ("inference", lambda c: {"prediction_dir": notes(c)}, NOT_OWN),
    "inference among attention maps": (
        "inference", lambda c: {"prediction_dir": c / "a", "attention_dir": c / "a"}, "lie among the attention maps"
    ),
    "evaluate, of whose name there is a report": ("evaluate", lambda c: named(c, "report.html"), STRANGE),
    "evaluate, of whose name there are rows": ("evaluate", lambda c: named(c, "rows.csv"), STRANGE),
    "evaluate beside pictures": ("evaluate", lambda c: named(c, "pictures/a.png"), NOT_OWN),
    "evaluate beside figures": ("evaluate", lambda c: named(c, "figures/a.svg"), NOT_OWN),
}  # fmt: skip


def named(cohort: Path, name: str) -> dict[str, Any]:
    """Maps to evaluate, and a foreign file."""
    (cohort / name).parent.mkdir(exist_ok=True)
    (cohort / name).write_text("mine")
    return {"methods": {"truth_again": str(cohort / "labels")}}


@pytest.mark.parametrize(("stage", "given", "message"), STAGES.values(), ids=STAGES.keys())
def test_a_stage_does_not_write_into_a_foreign_folder(stage, given, message, cohort):
    overrides = {"dataset_dir": cohort, "ckpt_dir": model(cohort)} | given(cohort)
    if stage == "evaluate":
        del overrides["ckpt_dir"]
    before = everything(cohort)
    assert message in refusal(stage, **overrides)
    after = everything(cohort)
    assert {path: after.get(path) for path in before} == before
    assert {path.name for path in set(after) - set(before)} <= {".semcl.json"}


def model(cohort: Path) -> Path:
    """A folder of models that is never read: refusals come first."""
    folder = cohort / "models"
    LabelTable.load(cohort).save(folder)
    return folder


# inference that fails


FAILURES: dict[str, dict[str, Any]] = {
    "a batch of nothing": {"batch_size": 0},
    "a number below 0": {"grow": -1},
    "an unknown key": {"batchsize": 4},
    "another architecture": {"decoder_width": 24},
    "a model that is cut": {},
    "a coarse model that is cut": {"grow": 2},
    "no model": {},
}


@pytest.mark.parametrize("failure", FAILURES)
def test_inference_that_fails_loses_no_prediction(failure, predicted, tmp_path):
    cohort = Path(shutil.copytree(predicted, tmp_path / "cohort"))
    given: dict[str, Any] = {"attention_dir": cohort / "by_hand"} | FAILURES[failure]
    weights = cohort / "models" / "model.pt"
    if failure == "a model that is cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    if failure == "no model":
        weights.unlink()
    if failure == "a coarse model that is cut":
        (cohort / "models" / "coarse.pt").write_bytes(b"cut")
        given["attention_dir"] = cohort / "none"
    before = everything(cohort / "predictions")
    assert len(before) > 2
    with pytest.raises(Exception, match=r"."):
        run_here("inference", dataset_dir=cohort, **given)
    assert everything(cohort / "predictions") == before


@pytest.mark.parametrize(
    ("stage", "given"),
    [
        ("coarse", {"learning_rate": -1.0}),
        ("coarse", {"coarse_size": [7, 3]}),
        ("maps", {"coarse_channels": [4, 8, 12]}),
        ("train", {"decoder_width": -1}),
        ("evaluate", {"tolerance": -1.0}),
        ("evaluate", {"methods": {"none": "/nowhere"}}),
    ],
)
def test_another_stage_that_fails_early_loses_nothing(stage, given, predicted, tmp_path):
    cohort = Path(shutil.copytree(predicted, tmp_path / "cohort"))
    (cohort / "pictures").mkdir()
    (cohort / "pictures" / "mine.png").write_text("mine")
    for path in (cohort / "models").glob("*.pt"):
        path.touch()  # younger than the maps, which are then made again
    before = {path: content for path, content in everything(cohort).items() if "store" not in path.parts}
    with pytest.raises(Exception, match=r"."):
        run_here(stage, dataset_dir=cohort, **given)
    after = everything(cohort)
    assert {path: after.get(path) for path in before} == before


def test_label_maps_may_be_read_as_attention(predicted, tmp_path):
    cohort = Path(shutil.copytree(predicted, tmp_path / "cohort"))
    labels = everything(cohort / "labels")
    given = {"prediction_dir": cohort / "others", "section": "all"}
    run_here("inference", dataset_dir=cohort, attention_dir=cohort / "labels", **given)
    assert len(list((cohort / "others").glob("*.nii.gz"))) == len(labels)
    assert everything(cohort / "labels") == labels


# commands


@pytest.fixture
def scans(tmp_path: Path) -> Folder:
    """Three pairs and a label table, in a foreign folder."""
    folder = Folder(tmp_path / "scans")
    folder.pair("anna", "berta", "carl")
    (folder.root / "table.yaml").write_text("# mine\n" + yaml.safe_dump(TABLE.content()))
    return folder


def given_to_prepare(scans: Folder, **more: Any) -> dict[str, Any]:
    made = {"images": scans.images, "labels": scans.labels, "table": scans.root / "table.yaml", "out": scans.root}
    return {key: value if isinstance(value, int) else str(value) for key, value in (made | {"folds": 2} | more).items()}


def picture(folder: Folder, name: str) -> None:
    (folder.root / name).parent.mkdir(exist_ok=True)
    (folder.root / name).write_text("mine")


def given_to_evaluate(folder: Folder) -> dict[str, Any]:
    return {
        "pred": str(folder.labels), "truth": str(folder.labels), "images": str(folder.images), "out": str(folder.root),
        "workers": 1,
    }  # fmt: skip


COMMANDS: dict[str, tuple[Callable[[Folder], None], Callable[..., None], Callable[[Folder], dict[str, Any]], str]] = {
    "phantom into scans": (lambda f: None, phantom, lambda f: {"out": str(f.root)}, NOT_OWN),
    "phantom into the folder of images": (lambda f: None, phantom, lambda f: {"out": str(f.images)}, NOT_OWN),
    "prepare over a datalist of MONAI's": (
        lambda f: (f.root / "datalist.json").write_text('{"training": [{"image": "a", "label": "b", "fold": 0}]}'),
        prepare, given_to_prepare, STRANGE,
    ),
    "prepare over a label table of other organs": (
        lambda f: (f.root / "labels.yaml").write_text("# mine\norgans: {liver: 1}\n"),
        prepare, given_to_prepare, STRANGE,
    ),
    "prepare over something called labels.yaml": (
        lambda f: (f.root / "labels.yaml").write_text("a note"), prepare, given_to_prepare, STRANGE,
    ),
    "findings over the table of cases": (
        lambda f: f.sheet("case,patient,phase\nanna,a,ct\nberta,b,ct\ncarl,c,ct\n"), check,
        lambda f: {"images": str(f.images), "csv": str(f.root / "cases.csv")}, STRANGE,
    ),
    "findings over a scan": (
        lambda f: None, check, lambda f: {"images": str(f.images), "csv": str(f.images / "anna.nii.gz")}, STRANGE,
    ),
    "evaluate beside pictures": (
        lambda f: picture(f, "pictures/a.png"), evaluate, given_to_evaluate, NOT_OWN
    ),
    "evaluate beside figures": (lambda f: picture(f, "figures/a.svg"), evaluate, given_to_evaluate, NOT_OWN),
    "evaluate over rows": (lambda f: picture(f, "rows.csv"), evaluate, given_to_evaluate, STRANGE),
    "evaluate over a summary": (lambda f: picture(f, "summary.json"), evaluate, given_to_evaluate, STRANGE),
    "evaluate over a report": (lambda f: picture(f, "report.html"), evaluate, given_to_evaluate, STRANGE),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "command", "given", "message"), COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_does_not_replace_foreign_files(harm, command, given, message, scans):
    harm(scans)
    before = everything(scans.root)
    with pytest.raises(SemclError, match=message):
        command(**given(scans))
    assert everything(scans.root) == before


def test_prepare_into_the_folder_of_the_scans_keeps_their_label_table(scans):
    table = (scans.root / "table.yaml").rename(scans.root / "labels.yaml")
    text = table.read_text()
    for seed in (0, 1):  # a cohort may be prepared again
        prepare(**given_to_prepare(scans, table=table, seed=seed))
        assert table.read_text() == text
    assert len(datalist.load(scans.root)) == 3


def interrupted(scans: Folder, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cohort that is prepared again with another table, and stopped in a function."""

    def stop(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    (scans.root / "other.yaml").write_text(yaml.safe_dump(TABLE.content() | {"ignore": 99}))
    with monkeypatch.context() as patched:
        patched.setattr(owner, stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(**given_to_prepare(scans, table=scans.root / "other.yaml", seed=3))


def test_a_partly_written_cohort_is_refused_until_it_is_prepared_again(scans, monkeypatch):
    prepare(**given_to_prepare(scans))
    interrupted(scans, "scripts.cohort.datalist.save", monkeypatch)
    with pytest.raises(SemclError, match=r"(?s)the cohort is unfinished.*run `python -m scripts prepare`"):
        datalist.load(scans.root)
    prepare(**given_to_prepare(scans, table=scans.root / "other.yaml", seed=3))
    assert len(datalist.load(scans.root)) == 3


def test_a_cohort_stays_usable_when_nothing_was_written(scans, monkeypatch):
    prepare(**given_to_prepare(scans))
    before = everything(scans.root)
    interrupted(scans, "scripts.cohort.label_table.write_text", monkeypatch)
    (scans.root / "other.yaml").unlink()
    assert everything(scans.root) == before


def test_merged_label_maps_do_not_replace_foreign_ones(tmp_path):
    root = tmp_path / "set"
    for case, seed in {"s1": 1, "s2": 2, "s3": 3}.items():
        write_nifti(root / case / "ct.nii.gz", ct(seed))
        write_nifti(root / case / "segmentations" / "liver.nii.gz", (organs() == 1).astype(np.uint8))
    (tmp_path / "table.yaml").write_text("organs: {liver: 1}\nphases: [ct]\n")
    given = {"images": str(root), "table": str(tmp_path / "table.yaml"), "folds": 2, "test_share": 0.3}
    mine = write_nifti(tmp_path / "cohort" / "labels" / "s1.nii.gz", organs())
    before = everything(tmp_path)
    with pytest.raises(SemclError, match=NOT_OWN):
        prepare(out=str(tmp_path / "cohort"), **given)
    assert everything(tmp_path) == before
    mine.unlink()
    for _ in range(2):
        prepare(out=str(tmp_path / "cohort"), **given)
    assert len(datalist.load(tmp_path / "cohort", need_label=True)) == 3


# the demo


def test_the_demo_removes_phantoms_and_nothing_else(scans, cohort):
    assert "tools.fresh" in (ROOT / "Makefile").read_text()
    assert "rm -rf $(COHORT)" not in (ROOT / "Makefile").read_text()
    before = everything(scans.root)
    with pytest.raises(SemclError, match=NOT_OWN):
        fresh.remove(scans.root)
    assert everything(scans.root) == before
    for name in ("images/mine.nii.gz", "notes.txt"):
        (cohort / name).write_text("mine")
        kept = everything(cohort)
        with pytest.raises(SemclError, match=r"holds what"):
            fresh.remove(cohort)
        assert everything(cohort) == kept
        (cohort / name).unlink()
    fresh.remove(cohort)
    assert not cohort.exists()
    fresh.remove(cohort)  # there is nothing to remove


# a release


def test_a_release_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    release(str(tmp_path))
    before = everything(tmp_path)

    def fail(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(zipfile.ZipFile, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            release(str(tmp_path))
    assert everything(tmp_path) == before
    with pytest.raises(SemclError, match="the cohort has no models"):
        release(str(tmp_path), cohort=str(tmp_path / "nowhere"))
    assert everything(tmp_path) == before
    (tmp_path / NAME / ".git").mkdir()
    with pytest.raises(SemclError, match="is not a release"):
        release(str(tmp_path))
    assert everything(tmp_path) == before


# folders and files one may not read or write, and a full disk


RUN_ALL = """
import contextlib, io, json, resource, sys, traceback
from scripts.__main__ import main
size, *commands = json.loads(sys.argv[1])
if size:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
ended = []
for words in commands:
    sys.argv, output = ["scripts", *words], io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code = main() or 0
        except SystemExit as end:
            code = end.code
        except BaseException:
            code = traceback.format_exc()
    ended.append([code, output.getvalue()])
print(json.dumps(ended))
"""


def run_all(
    commands: list[list[str]], size: int = 0, cwd: Path = ROOT, bare: dict[str, str] | None = None
) -> list[tuple[object, str]]:
    """Commands in one process, of a user who owns nothing, or with small files only: exit code and output of each.

    ``bare`` is the whole environment, where it is given.
    """
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 and not size else []
    usual = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": "/tmp", "HOME": "/tmp"}
    environment = usual if bare is None else bare
    program = [*nobody, sys.executable, "-c", RUN_ALL, json.dumps([size, *commands])]
    ended = subprocess.run(program, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if nobody and ended.returncode:
        pytest.skip(f"another user cannot run Python here: {ended.stderr[-200:]}")
    return [(code, output) for code, output in json.loads(ended.stdout.splitlines()[-1])]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder another user may look into, which pytest's are not."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def closed(folder: Folder, name: str) -> Path:
    """A file or folder nobody but its owner may read; the owner neither, but for root."""
    (folder.root / name).chmod(0)
    return folder.root / name


LOCKED: dict[str, tuple[str, str, dict[str, str]]] = {
    "check, a scan": ("check", "images/anna.nii.gz", {}),
    "check, the folder of scans": ("check", "images", {}),
    "check, the folder of label maps": ("check", "labels", {}),
    "prepare, the label table": ("prepare", "table.yaml", {"out": "out"}),
    "prepare, the table of cases": ("prepare", "cases.csv", {"out": "out", "cases": "cases.csv"}),
    "prepare, the cohort's folder": ("prepare", "out", {"out": "out/cohort"}),
    "phantom, the cohort's folder": ("phantom", "out", {"out": "out/cohort"}),
    "evaluate, a label map": ("evaluate", "labels/anna.nii.gz", {"out": "new"}),
    "evaluate, the results' folder": ("evaluate", "out", {"out": "out/results"}),
}


def test_missing_permissions_are_reported_in_one_line(open_folder):
    commands, places = [], []
    for number, (command, locked, given) in enumerate(LOCKED.values()):
        folder = Folder(open_folder / str(number))
        folder.pair("anna", "berta", "carl")
        folder.sheet("case,patient,phase\nanna,a,ct\nberta,b,ct\ncarl,c,ct\n")
        (folder.root / "table.yaml").write_text(yaml.safe_dump(TABLE.content()))
        (folder.root / "out").mkdir()
        options = {"check": ("images", "labels"), "prepare": ("images", "labels", "table"), "phantom": ()}
        names = options.get(command, ("images",))
        asked = {name: name if name != "table" else "table.yaml" for name in names} | given
        if command == "prepare":
            asked["folds"] = "2"
        if command == "evaluate":
            asked |= {"pred": "labels", "truth": "labels"}
        commands.append(
            [
                command,
                *(f"--{name}={value if value.isdigit() else folder.root / value}" for name, value in asked.items()),
            ]
        )
        places.append(closed(folder, locked))
    for name, place, (code, output) in zip(LOCKED, places, run_all(commands), strict=True):
        place.chmod(0o755)
        assert code == 2, (name, code, output)
        assert str(place) in output or place.name in output, (name, output)
        assert "Traceback" not in output
    assert sorted(path.name for path in open_folder.glob("*/*")) == sorted(
        ["images", "labels", "cases.csv", "table.yaml", "out"] * len(LOCKED)
    )
    assert list(open_folder.glob("*/out/*")) == []


def test_a_user_without_home_language_or_a_readable_folder_can_prepare_a_cohort(open_folder):
    folder = Folder(open_folder / "data")
    folder.pair("anna", "berta", "carl")
    folder.sheet("\ufeffcase,patient,phase\nanna,Zoë,ct\nberta,b,ct\ncarl,c,ct\n")
    (folder.root / "table.yaml").write_text(yaml.safe_dump(TABLE.content()))
    (folder.root / "out").mkdir(mode=0o777)
    (folder.root / "out").chmod(0o777)
    closed = open_folder / "closed"
    closed.mkdir(mode=0o711)
    named = {"images": "images", "labels": "labels", "table": "table.yaml", "cases": "cases.csv"}
    given = [f"--{option}={folder.root / name}" for option, name in named.items()]
    commands = [["check", *given], ["prepare", *given, "--folds=2", f"--out={folder.root / 'out' / 'cohort'}"]]
    bare = {"LANG": "C", "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": f"{closed}:{ROOT}"}
    for code, output in run_all(commands, cwd=closed, bare=bare):
        assert code == 0, output
    assert {case.patient for case in datalist.load(folder.root / "out" / "cohort")} == {"Zoë", "b", "c"}


def test_a_full_disk_is_reported_in_one_line_and_leaves_no_partial_file(scans):
    given = [f"--{name}={value}" for name, value in given_to_prepare(scans, out=scans.root / "new").items()]
    again = [f"--{name}={value}" for name, value in given_to_prepare(scans, seed=4).items()]
    measured = [f"--{name}={value}" for name, value in given_to_evaluate(scans).items() if name != "out"]
    prepare(**given_to_prepare(scans))
    before = everything(scans.root)
    commands = [["prepare", *given], ["prepare", *again], ["phantom", f"--out={scans.root / 'phantoms'}", "--cases=9"]]
    for code, output in run_all([*commands, ["evaluate", *measured, f"--out={scans.root / 'results'}"]], size=90):
        assert code == 2, (code, output)
        assert "error: the disk is full" in output, output
        assert str(scans.root) in output
    after = everything(scans.root)
    assert {path.name for path in set(after) - set(before)} <= {".semcl.json"}
    assert {path: after[path] for path in before} == before
    assert not (scans.root / "new").exists()
    assert len(datalist.load(scans.root)) == 3
