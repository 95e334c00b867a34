"""Studies from the command line: killed, restarted and in parts they end as one left alone; what they refuse."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import __main__ as command_line
from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.outputs import visible
from scripts.signals import ENDING, release
from scripts.study.study import Study, usual_workers
from tests.stages import ROOT, SMALL
from tests.study.made import BUNDLE, TABLE, overlay, write_cases

TINY = {
    **{key: yaml.safe_load(str(value)) for key, value in SMALL["train"].items()},
    **{"max_epochs": 2, "epoch_length": 3, "clusters_per_batch": 4, "calibration_batches": 1},
    **{"queries_per_organ": 2, "organ": "liver"},  # of embed: fewer pictures
}
REPORT = {"report.html", "results.csv", "rows.csv", "strategies.svg", "summary.json", "tables.md", "tables.tex"}


class Started:
    """``python -m semcl study`` on phantoms, from a folder elsewhere: 2 strategies x 2 seeds x 1 protocol.

    Label maps are the attention maps, so that no coarse network has to be trained.
    """

    def __init__(self, cohort: Path, elsewhere: Path) -> None:
        self.cohort, self.elsewhere = cohort, elsewhere
        elsewhere.mkdir()
        (elsewhere / "semcl").symlink_to(ROOT / "scripts")
        (elsewhere / "tiny numbers.yaml").write_text(yaml.safe_dump(TINY))

    def start(self, out: str, *more: str) -> subprocess.Popen[str]:
        command = [
            sys.executable, "-m", "semcl", "study", "--dataset_dir", str(self.cohort), "--bundle_root", str(BUNDLE),
            "--strategies", "scratch,semantic", "--seeds", "2", "--protocols", "tuned",
            "--overlay", "tiny numbers.yaml", "--attention_dir", str(self.cohort / "labels"), "--workers", "2",
            "--out", out, *more,
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.Popen(
            command, cwd=self.elsewhere, env=environment | {"OMP_NUM_THREADS": "1"}, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, out: str, *more: str) -> str:
        process = self.start(out, *more)
        said, _ = process.communicate()
        assert process.returncode == 0, said
        return said


def made(folder: Path) -> set[str]:
    return {path.name for path in visible(folder) if path.is_file()}


@pytest.fixture(scope="module")
def started(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Started:
    return Started(phantoms, tmp_path_factory.mktemp("studies") / "else where")


@pytest.fixture(scope="module")
def alone(started: Started) -> Path:
    """A study left alone."""
    said = started.run("left alone")
    assert "study: 0 of 4 units done, 4 to run" in said
    assert "Encoder tuned: " in said
    return started.elsewhere / "left alone"


def test_a_study_leaves_its_report(alone: Path, started: Started) -> None:
    assert made(alone) == REPORT
    with open(alone / "results.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["method"] for line in lines} == {"coarse", "scratch", "semantic"}
    coarse = {float(line["mean"]) for line in lines if line["method"] == "coarse"}
    assert coarse == {1.0}  # it is the truth
    assert all(0 <= float(line["mean"]) < 1 for line in lines if line["method"] != "coarse")
    content = json.loads((alone / "summary.json").read_text())
    tested = datalist.load(started.cohort, "testing")
    assert content["counts"].startswith(f"{len(tested)} cases of {len({case.patient for case in tested})} patients")
    assert [line["strategy"] for line in content["costs"]] == ["scratch", "semantic"]
    assert [line["pretrain_queries"] for line in content["costs"]] == [0, 2 * 3 * 4 * 4]
    assert [line["train_queries"] for line in content["costs"]] == [2 * 3 * 4 * 2] * 2
    assert all(line["train_seconds"] > 0 for line in content["costs"])
    assert all(
        {"untrained", "semantic"} <= line.keys() for line in content["embeddings"] if "nearest" in line["measure"]
    )


def test_runs_of_other_seeds_differ(alone: Path) -> None:
    with open(alone / "rows.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "dice" and row["method"] == "semantic"]
    by_seed = [[row["value"] for row in rows if row["seed"] == seed] for seed in "01"]
    assert len(by_seed[0]) == len(by_seed[1]) > 0
    assert by_seed[0] != by_seed[1]


def test_a_study_in_parts_one_of_which_is_killed_ends_as_one_left_alone(alone: Path, started: Started) -> None:
    out = started.elsewhere / "in parts"
    process = started.start("in parts", "--shard", "2/2")
    while not list(out.glob("runs/own/semantic/seed */jobs/pretrain.checkpoint.pt")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(out.glob("runs/own/semantic/*/*/rows.csv"))
    said = started.run("in parts", "--shard", "2/2")
    assert "study: 2 of 4 units are done; the report is made when all are" in said
    assert not made(out) & REPORT
    started.run("in parts", "--shard", "1/2")
    assert made(out) == REPORT
    for name in ("results.csv", "rows.csv", "tables.tex"):
        assert (out / name).read_bytes() == (alone / name).read_bytes()


@pytest.fixture
def terminated() -> Iterator[None]:
    """What signals do is left as it was."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    yield
    release(handlers)


def again(started: Started, out: Path, **changes: Any) -> None:
    given: dict[str, Any] = {
        "dataset_dir": started.cohort, "bundle_root": BUNDLE, "out": out, "strategies": ["scratch", "semantic"],
        "seeds": 2, "folds": 0, "protocols": ["tuned"], "labels": ["100%"],
        "overlays": [started.elsewhere / "tiny numbers.yaml"], "sweep": None,
        "attention_dir": started.cohort / "labels", "tolerance": 2.0, "workers": 1, "share": None,
        "baseline": None,
    }  # fmt: skip
    Study(**(given | changes)).run()


@pytest.mark.usefixtures("terminated")
def test_a_finished_study_is_only_reported_again(
    alone: Path, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: (alone / name).read_bytes() for name in REPORT}
    logs = {path: path.stat().st_mtime_ns for path in alone.rglob("unit.log")}
    again(started, alone)
    assert "to run" not in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in alone.rglob("unit.log")} == logs
    for name in ("results.csv", "rows.csv", "tables.tex", "summary.json"):
        assert (alone / name).read_bytes() == before[name]


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize(
    ("changes", "changed"),
    [({"tolerance": 1.0}, "tolerance"), ({"overlays": []}, "overlays"), ({"attention_dir": None}, None)],
    ids=["another tolerance", "without the overlay", "other maps"],
)
def test_a_finished_study_with_other_numbers_is_refused(
    alone: Path, started: Started, changes: dict[str, Any], changed: str | None
) -> None:
    message = rf"(?s)was run with other numbers.*{changed} changed since" if changed else "attention maps are missing"
    with pytest.raises(SemclError, match=message):
        again(started, alone, **changes)


# what is refused before anything runs


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of cases without scans."""
    cohort = tmp_path / "cohort"
    datalist.save(write_cases(cohort), cohort)
    TABLE.save(cohort)
    return Study(
        dataset_dir=cohort, bundle_root=BUNDLE, out=tmp_path / "out", strategies=["semantic"], seeds=1, folds=0,
        protocols=["frozen"], labels=["100%"], overlays=[], sweep=None, attention_dir=None, tolerance=2.0, workers=1,
        share=None, baseline=None,
    )  # fmt: skip


def test_a_plan_is_made_of_what_was_asked_for(study: Study) -> None:
    plan, table = replace(study, strategies=["scratch", "dcc"], seeds=2, folds=3, sweep="temperature=0.1,0.2").plan()
    assert [one.name for one in plan.strategies] == ["scratch", "dcc temperature=0.1", "dcc temperature=0.2"]
    assert len(plan.units()) == 3 * 3 * 2
    assert plan.attention_dir == study.dataset_dir.resolve() / "attention"
    assert table == TABLE


def test_folders_may_be_relative(study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    plan, _ = replace(study, dataset_dir=Path("cohort"), out=Path("out"), attention_dir=Path("cohort/attention")).plan()
    absolute, _ = study.plan()
    assert plan == absolute
    assert plan.out.is_absolute()


REFUSED = {
    "no seed": ({"seeds": 0}, r"at least one seed and one worker.*--seeds 0, --workers 1"),
    "no worker": ({"workers": -1}, r"at least one seed and one worker.*--workers -1"),
    "no strategy": ({"strategies": []}, "no strategy is given"),
    "an unknown preset": (
        {"overlays": [BUNDLE / "configs" / "fats.yaml"]},
        r"no such overlay.*no .*fats\.yaml.*--preset",
    ),
    "a stage as a preset": ({"overlays": [BUNDLE / "configs" / "train.yaml"]}, r"train\.yaml is the config of a stage"),
    "no such protocol": ({"protocols": ["thawed"]}, "--protocols thawed.*one of frozen, tuned"),
    "an invalid share": ({"labels": ["200%"]}, "a share of labels"),
    "too many folds": ({"folds": 20}, "--folds 20, 8 patients"),
    "a baseline that is not run": (
        {"baseline": "scratch"},
        "--baseline scratch.*one of coarse, semantic",
    ),
    "a typo in a sweep": ({"sweep": "temprature=1,2"}, "unknown key --temprature.*did you mean --temperature"),
    "no cohort": ({"dataset_dir": Path("nowhere")}, "dataset_dir is not a folder"),
    "no bundle": ({"bundle_root": Path("nowhere")}, r"the bundle is missing.*set --bundle_root"),
    "no attention": ({"attention_dir": Path("nowhere")}, r"attention maps are missing.*14 of 14 cases.*coarse\.yaml"),
}


SWEEPS = re.findall(r"--sweep ([^`\s]+)", (ROOT / "docs" / "study.md").read_text())


@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweeps_of_the_docs_are_valid(study: Study, sweep: str) -> None:
    plan, _ = replace(study, strategies=["semantic"], sweep=sweep).plan()
    assert len(plan.strategies) > 1


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_invalid_studies_are_refused(study: Study, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SemclError, match=f"(?s){message}"):
        replace(study, **changes).run()
    assert not (study.out / "runs").exists()


@pytest.mark.parametrize("key", ["seed", "encoder_weights", "labelled", "store_dir"])
def test_an_overlay_does_not_set_what_the_study_sets(study: Study, tmp_path: Path, key: str) -> None:
    path = overlay(tmp_path, "mine", f"{key}: 1\nfreeze_encoder: true\n")
    with pytest.raises(SemclError, match=rf"(?s)the study sets {key} itself\n.*mine\.yaml"):
        replace(study, overlays=[path]).plan()


def test_the_faithful_preset_freezes_as_the_protocol_says(study: Study) -> None:
    plan, _ = replace(study, overlays=[BUNDLE / "configs" / "faithful.yaml"]).plan()
    assert [path.name for path in plan.overlays] == ["faithful.yaml"]


def test_a_store_that_cannot_be_built_is_an_error(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    plan, _ = study.plan()
    with pytest.raises(SemclError, match=r"(?s)the query store cannot be built.*the error above.*run the study again"):
        study.build_stores(plan)
    assert "error: " in capfd.readouterr().err  # the scans are words


# the command line


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the command line makes of words."""

    def read(*words: str) -> Study:
        found: list[Study] = []

        def run(study: Study) -> None:
            found.append(study)

        monkeypatch.setattr(Study, "run", run)
        monkeypatch.setattr(sys, "argv", ["semcl", "study", *words])
        command_line.main()
        return found[0]

    return read


def test_the_command_line_s_defaults(given: Any) -> None:
    study = given("--dataset_dir", "cohort")
    assert study == Study(
        dataset_dir=Path("cohort"), bundle_root=Path("bundle"), out=Path("cohort/study"),
        strategies=["scratch", "simclr", "semantic"], seeds=3, folds=0, protocols=["frozen", "tuned"], labels=["100%"],
        overlays=[], sweep=None, attention_dir=None, tolerance=2.0, workers=usual_workers(), share=None,
        baseline=None,
    )  # fmt: skip


def test_the_command_line_s_words(given: Any) -> None:
    study = given(
        "cohort", "--strategies", "semantic,my own/warm start.yaml", "--labels", "10%,0.5,1", "--protocols", "tuned",
        "--preset", "fast", "--overlay", "my numbers.yaml", "--sweep", "temperature=0.1,0.2", "--shard", "1/12",
        "--workers", "2", "--seeds", "5", "--folds", "4", "--out", "2026", "--bundle_root", "b", "--tolerance", "1",
        "--baseline", "warm start",
    )  # fmt: skip
    assert study.strategies == ["semantic", "my own/warm start.yaml"]
    assert (study.labels, study.protocols) == (["10%", "0.5", "1"], ["tuned"])
    assert study.overlays == [Path("b/configs/fast.yaml"), Path("my numbers.yaml")]
    assert (study.sweep, study.share, study.out) == ("temperature=0.1,0.2", "1/12", Path("2026"))
    assert study.baseline == "warm start"
    assert (study.workers, study.seeds, study.folds, study.tolerance) == (2, 5, 4, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "2.5"], "--seeds is not a whole number"),
        (["--folds", "many"], "--folds is not a number"),
        (["--workers", "0.5"], "--workers is not a whole number"),
        (["--strategy", "semantic"], "study has no option --strategy.*did you mean --strategies"),
    ],
)
def test_the_command_line_refuses(
    given: Any, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        given("cohort", *words)
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert re.search(message, said, re.S)
