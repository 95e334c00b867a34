"""The runner, with small programs in place of units."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scripts.errors import SemclError
from scripts.signals import BY_USER, INTERRUPTED
from scripts.study import runner as runner_module
from scripts.study.cells import parse_cells
from scripts.study.plan import Plan, steps
from scripts.study.runner import Runner, visible_gpus
from tests.stages import ROOT
from tests.study.made import copied_bundle, made_plan

UNIT = """
import json, os, sys, time
from pathlib import Path

path = Path(sys.argv[1])
note = json.loads(path.read_text())
with open(path.parents[4] / "order.txt", "a") as file:
    file.write(f"{note['method']} {path.parent.name}\\n")
(path.parent / "environment.json").write_text(json.dumps(dict(os.environ)))
for step in note["steps"]:
    folder = Path(step["overrides"]["output_dir"]) / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "aside").write_text(json.dumps({"status": "completed"}))
    (folder / "aside").replace(folder / f"{step['stage']}.json")
#HERE
for cell in note["cells"].values():
    Path(cell, "rows.csv").write_text("rows")
"""
FAIL = """
if note["method"] == "semantic" and path.parent.name == "seed 0":
    print("begins\\n" + "before the end\\n" * 20 + "bar 1%\\rbar 100%\\nerror: out of luck")
    sys.exit(1)
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Four units that the program is run for: from a bundle whose ``scripts`` is that program alone."""
    made = made_plan(tmp_path, copied_bundle(tmp_path / "bundle"))
    (tmp_path / "bundle" / "fake").mkdir()
    return made


@pytest.fixture(autouse=True)
def unit(monkeypatch: pytest.MonkeyPatch, plan: Plan):
    """Writes the program that stands for a unit; without more it completes."""
    monkeypatch.setattr(runner_module, "UNIT", "fake.unit")
    monkeypatch.setattr(runner_module, "POLL", 0.02)

    def write(more: str = "") -> None:
        (plan.bundle_root / "fake" / "unit.py").write_text(UNIT.replace("#HERE", textwrap.dedent(more)))

    write()
    return write


def order(plan: Plan) -> list[str]:
    return (plan.out / "order.txt").read_text().splitlines()


def test_all_units_are_run(plan):
    Runner(plan, 1).run(plan.units())
    assert order(plan) == ["scratch seed 0", "semantic seed 0", "scratch seed 1", "semantic seed 1"]
    assert all(Runner(plan, 1).done(unit) for unit in plan.units())


def test_a_unit_is_given_all_it_needs(plan):
    unit = plan.units()[1]
    Runner(plan, 1).run([unit])
    note = json.loads((unit.folder / "unit.json").read_text())
    assert note == json.loads(json.dumps({
        "settings": plan.settings(unit), "method": "semantic", "split": str(plan.splits["own"]), "tolerance": 2.0,
        "cells": {"frozen-100%": str(unit.folder / "frozen-100%")}, "steps": steps(plan, unit),
    }))  # fmt: skip


def test_what_is_done_is_not_run_again(plan, capsys):
    Runner(plan, 1).run(plan.units()[:1])
    (plan.units()[1].folder).mkdir(parents=True)
    Runner(plan, 2).run(plan.units())
    assert len(order(plan)) == 4
    assert "study: 1 of 4 units done, 3 to run" in capsys.readouterr().out
    Runner(plan, 1).run(plan.units())
    assert len(order(plan)) == 4


def test_what_stopped_half_way_is_run_again(plan):
    Runner(plan, 1).run(plan.units())
    (plan.units()[2].folder / "frozen-100%" / "rows.csv").unlink()
    Runner(plan, 1).run(plan.units())
    assert order(plan)[4:] == ["scratch seed 1"]


def test_cells_and_seeds_may_be_added(plan):
    Runner(plan, 1).run(plan.units())
    more = replace(plan, cells=parse_cells(["frozen", "tuned"], ["100%"]), seeds=3)
    Runner(more, 1).run(more.units())
    assert len(order(plan)) == 4 + 6
    assert (more.units()[5].folder / "tuned-100%" / "rows.csv").is_file()


def test_a_changed_number_is_refused_before_anything_runs(plan):
    Runner(plan, 1).run(plan.units()[3:])
    config = plan.bundle_root / "configs" / "train.yaml"
    config.write_text(config.read_text().replace("margin: 8", "margin: 9"))
    message = (
        r"(?s)semantic, split own, seed 1 was run with other numbers.*train\.yaml changed since .*unit\.json.*--out"
    )
    with pytest.raises(SemclError, match=message):
        Runner(plan, 1).run(plan.units())
    assert order(plan) == ["semantic seed 1"]


def test_a_unit_that_fails_is_named_and_the_others_are_run(plan, unit):
    unit(FAIL)
    with pytest.raises(SemclError) as failure:
        Runner(plan, 2).run(plan.units())
    said = str(failure.value)
    assert said.startswith("1 of 4 units failed")
    assert "semantic, split own, seed 0; the log of the first ends" in said
    assert "bar 100%\nerror: out of luck" in said
    assert "bar 1%" not in said  # only a bar's last state
    assert "begins" not in said  # only the end of the log
    assert said.count("before the end") == 10
    assert len(order(plan)) == 4
    assert [Runner(plan, 1).done(one) for one in plan.units()] == [True, False, True, True]
    unit()
    Runner(plan, 2).run(plan.units())
    assert order(plan)[4:] == ["semantic seed 0"]


def test_the_log_of_a_unit_keeps_those_of_earlier_runs(plan, unit):
    unit(FAIL)
    for _ in range(2):
        with pytest.raises(SemclError, match="1 of 1 units failed"):
            Runner(plan, 1).run(plan.units()[1:2])
    log = (plan.units()[1].folder / "unit.log").read_text()
    assert log.count("error: out of luck") == 2


def test_workers_run_at_once_and_share_the_cores(plan, unit, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    unit("""
        count = len(list(path.parents[1].parent.glob("*/*/environment.json")))
        for _ in range(400):
            if len(list(path.parents[1].parent.glob("*/*/environment.json"))) >= 2:
                break
            time.sleep(0.02)
        else:
            sys.exit(1)
    """)
    Runner(plan, 2).run(plan.units())
    for one in plan.units():
        environment = json.loads((one.folder / "environment.json").read_text())
        assert environment["OMP_NUM_THREADS"] == "4"


def test_threads_that_were_asked_for_stay(plan, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    Runner(plan, 2).run(plan.units()[:1])
    assert json.loads((plan.units()[0].folder / "environment.json").read_text())["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("count", "visible", "found"),
    [(2, None, ["0", "1"]), (2, "5,7", ["5", "7"]), (1, "GPU-ab", ["GPU-ab"]), (0, "", []), (0, None, [])],
)
def test_gpus_are_called_as_the_environment_calls_them(monkeypatch, count, visible, found):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == found


def test_units_take_turns_on_the_gpus(plan, monkeypatch):
    monkeypatch.setattr(runner_module, "visible_gpus", lambda: ["5", "7"])
    monkeypatch.setattr(runner_module, "POLL", 1.0)
    Runner(plan, 4).run(plan.units())
    given = [json.loads((one.folder / "environment.json").read_text())["CUDA_VISIBLE_DEVICES"] for one in plan.units()]
    assert given == ["5", "7", "5", "7"]


# stopped

STUDY = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from scripts.study import runner
from tests.study.made import copied_bundle, made_plan
runner.UNIT, runner.POLL = "fake.unit", 0.02
plan = made_plan(Path({folder!r}), Path({folder!r}) / "bundle")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started this with it ignored
runner.listen()
runner.Runner(plan, 2).run(plan.units())
"""
ORDERLY = """
    import signal
    def stop(number, frame):
        time.sleep(0.3)
        (path.parent / "orderly").write_text("")
        sys.exit(75)
    signal.signal(signal.SIGTERM, stop)
    (path.parent / "pid").write_text(str(os.getpid()))
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, INTERRUPTED), (signal.SIGINT, BY_USER)])
def test_a_study_that_is_stopped_stops_its_units_in_an_orderly_way(plan, unit, tmp_path, number, code):
    unit(ORDERLY)
    program = STUDY.format(root=str(ROOT), folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    running = [plan.out / "runs" / "own" / name / "seed 0" for name in ("scratch", "semantic")]
    while not all((folder / "pid").is_file() and (folder / "pid").read_text() for folder in running):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    for folder in running:
        assert (folder / "orderly").is_file()
        assert not alive(int((folder / "pid").read_text()))
    assert not (plan.out / "runs" / "own" / "scratch" / "seed 1").exists()
    assert f"study: stopped by {number.name}; run it again to resume" in said
    assert "Traceback" not in said


def test_units_are_stopped_when_the_runner_fails_itself(plan, unit, monkeypatch):
    unit(ORDERLY)
    runner = Runner(plan, 2)

    def broken(*given: object) -> None:
        first = plan.units()[0].folder / "pid"
        while not (first.is_file() and first.read_text()):
            time.sleep(0.05)
        raise OSError("the disk is full")

    monkeypatch.setattr(runner, "collect", broken)
    with pytest.raises(OSError, match="the disk is full"):
        runner.run(plan.units())
    assert not alive(int((plan.units()[0].folder / "pid").read_text()))
    assert runner.running == {}
