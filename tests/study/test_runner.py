"""The runner, with a small program in place of the stages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from scripts.errors import SemclError
from scripts.signals import BY_USER, INTERRUPTED
from scripts.study import runner as module
from scripts.study import step_process
from scripts.study.runner import Runner, Task, drop_stores, visible_gpus
from scripts.study.step import Step
from tests.stages import ROOT

PROGRAM = """
import json, os, sys, time
from pathlib import Path

path = Path(sys.argv[1])
note = json.loads(path.read_text())
root = Path.cwd().parent

def say(what):
    with open(root / "order.txt", "a") as file:
        file.write(what + "\\n")

say(f"start {note['title']}")
(path.parent / "environment.json").write_text(json.dumps(dict(os.environ)))
for step in note["steps"]:
    folder = Path(step["folder"])
    if (folder / "jobs" / f"{step['stage']}.json").is_file():
        continue
    try:
        os.open(folder / "at work", os.O_CREAT | os.O_EXCL)  # no other process makes it
    except FileExistsError:
        sys.exit(f"two processes make {folder.name}")
    #HERE
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    (folder / "jobs" / "aside").write_text(json.dumps({"status": "completed"}))
    (folder / "jobs" / "aside").replace(folder / "jobs" / f"{step['stage']}.json")
    os.remove(folder / "at work")
    if step["predicts"]:
        (folder / "rows.csv").write_text("rows")
say(f"end {note['title']}")
"""
FAIL = """
if folder.name == "{name}":
    print("begins\\n" + "before the end\\n" * 20 + "bar 1%\\rbar 100%\\nerror: out of luck")
    os.remove(folder / "at work")
    sys.exit(1)
"""
Write = Callable[..., None]


NAME_OF_PROCESS = module.PROCESS


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Write:
    """Writes the program that stands for the steps' process; without more every step completes."""
    monkeypatch.setattr(module, "PROCESS", "fake.process")
    monkeypatch.setattr(module, "PRELOAD", ())
    monkeypatch.setattr(module, "POLL", 0.02)
    (tmp_path / "bundle" / "fake").mkdir(parents=True)

    def write(more: str = "") -> None:
        text = PROGRAM.replace("#HERE", textwrap.indent(textwrap.dedent(more), "    ").strip())
        (tmp_path / "bundle" / "fake" / "process.py").write_text(text)

    write()
    return write


def step_of(folder: Path, name: str, needs: Sequence[Step] = (), predicts: bool = False) -> Step:
    """A step whose stage is the first word of its name."""
    (folder / "study" / name).mkdir(parents=True, exist_ok=True)
    where = folder / "study" / name
    return Step(
        name.split(maxsplit=1)[0], name, where, (), {}, tuple(needs), where / "predictions" if predicts else None
    )


def task_of(folder: Path, name: str, needs: Sequence[Step] = ()) -> Task:
    """A task of one step."""
    return Task(name, (step_of(folder, name, needs, predicts=True),))


def pipelines_of(folder: Path) -> list[Task]:
    """The tasks of a seed: two strategies on one coarse network and one query store."""
    coarse = task_of(folder, "coarse")
    store = step_of(folder, "store", coarse.steps)
    tasks = []
    for name in ("scratch", "semantic"):
        train = step_of(folder, f"train {name}", (coarse.steps[0], store))
        tasks.append(Task(name, (store, train, step_of(folder, f"inference {name}", (train,), predicts=True))))
    return [*tasks, coarse]  # what is needed comes last


def runner_of(folder: Path, workers: int = 1) -> Runner:
    return Runner(folder / "bundle", workers, 2.0)


def order(folder: Path) -> list[str]:
    return (folder / "order.txt").read_text().splitlines()


def test_the_process_of_steps_has_this_package_s_own_name() -> None:
    """A wheel's is semcl, and no folder of it holds a package named scripts."""
    assert step_process.__name__ == NAME_OF_PROCESS
    assert "scripts.study" not in Path(module.__file__).read_text()


def test_all_tasks_are_run_in_their_order(tmp_path: Path) -> None:
    tasks = [task_of(tmp_path, name) for name in "abc"]
    runner_of(tmp_path).run(tasks)
    assert order(tmp_path) == [f"{what} {name}" for name in "abc" for what in ("start", "end")]
    assert all(task.completed for task in tasks)


def test_what_is_needed_is_run_first(tmp_path: Path) -> None:
    runner_of(tmp_path).run(pipelines_of(tmp_path))
    assert [line for line in order(tmp_path) if line.startswith("start")] == [
        "start coarse", "start scratch", "start semantic",
    ]  # fmt: skip


def test_steps_within_a_task_need_no_other(tmp_path: Path) -> None:
    scratch, _, coarse = pipelines_of(tmp_path)
    assert scratch.needs == set(coarse.steps)
    assert coarse.needs == set()


def test_a_process_is_given_all_it_needs(tmp_path: Path) -> None:
    scratch, _, coarse = pipelines_of(tmp_path)
    runner_of(tmp_path).run([scratch, coarse], probe=True)
    note = json.loads((tmp_path / "study" / "inference scratch" / "task.json").read_text())
    assert note == {
        "title": "scratch", "tolerance": 2.0, "probe": True, "steps": [step.described() for step in scratch.steps],
    }  # fmt: skip


def test_what_is_done_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = [task_of(tmp_path, name) for name in "abcd"]
    runner_of(tmp_path).run(tasks[:1])
    runner_of(tmp_path, 2).run(tasks, "costs")
    assert "costs: 1 of 4 tasks done, 3 to run" in capsys.readouterr().out
    assert sorted(order(tmp_path)) == sorted(f"{what} {name}" for name in "abcd" for what in ("start", "end"))
    runner_of(tmp_path).run(tasks)
    assert len(order(tmp_path)) == 8


def test_what_was_not_measured_is_run_again(tmp_path: Path) -> None:
    tasks = [task_of(tmp_path, name) for name in "ab"]
    runner_of(tmp_path).run(tasks)
    tasks[1].steps[0].rows.unlink()
    (tasks[1].steps[0].manifest).unlink()
    runner_of(tmp_path).run(tasks)
    assert order(tmp_path)[4:] == ["start b", "end b"]


def test_no_two_processes_make_one_step(tmp_path: Path, program: Write) -> None:
    """The second strategy waits for the store that the first one makes, and no longer than that."""
    program("""
        if step["stage"] == "train":
            for _ in range(500):
                if (root / "order.txt").read_text().count("start s") == 2:
                    break
                time.sleep(0.02)
            else:
                sys.exit("the other never started")
        time.sleep(0.1)
    """)
    runner_of(tmp_path, 2).run(pipelines_of(tmp_path))
    assert len(order(tmp_path)) == 6


def test_workers_run_at_once_and_share_the_cores(
    tmp_path: Path, program: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    program("""
        for _ in range(500):
            if (root / "order.txt").read_text().count("start") >= 2:
                break
            time.sleep(0.02)
        else:
            sys.exit(1)
    """)
    tasks = [task_of(tmp_path, name) for name in "ab"]
    runner_of(tmp_path, 2).run(tasks)
    for task in tasks:
        environment = json.loads((task.steps[-1].folder / "environment.json").read_text())
        assert environment["OMP_NUM_THREADS"] == "4"


def test_threads_that_were_asked_for_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    task = task_of(tmp_path, "a")
    runner_of(tmp_path, 2).run([task])
    assert json.loads((task.steps[0].folder / "environment.json").read_text())["OMP_NUM_THREADS"] == "3"


# failures


def test_a_task_that_fails_is_named_and_the_others_are_run(tmp_path: Path, program: Write) -> None:
    program(FAIL.format(name="b"))
    tasks = [task_of(tmp_path, name) for name in "abcd"]
    with pytest.raises(SemclError) as failure:
        runner_of(tmp_path, 2).run(tasks)
    said = str(failure.value)
    assert said.startswith("1 of 4 tasks failed\n")
    assert "b; the log of the first ends" in said
    assert "bar 100%\nerror: out of luck" in said
    assert "bar 1%" not in said  # only a bar's last state
    assert "begins" not in said  # only the end of the log
    assert said.count("before the end") == 10
    assert [task.completed for task in tasks] == [True, False, True, True]
    program()
    runner_of(tmp_path, 2).run(tasks)
    assert order(tmp_path)[-2:] == ["start b", "end b"]


def test_a_failure_blocks_what_needs_it_and_nothing_else(tmp_path: Path, program: Write) -> None:
    program(FAIL.format(name="coarse"))
    tasks = [*pipelines_of(tmp_path), task_of(tmp_path, "other")]
    with pytest.raises(SemclError, match=r"(?s)^1 of 4 tasks failed; 2 others need them\n.*coarse; the log of"):
        runner_of(tmp_path, 2).run(tasks)
    assert sorted(order(tmp_path)) == ["end other", "start coarse", "start other"]


def test_the_log_of_a_task_keeps_those_of_earlier_runs(tmp_path: Path, program: Write) -> None:
    program(FAIL.format(name="a"))
    task = task_of(tmp_path, "a")
    for _ in range(2):
        with pytest.raises(SemclError, match="1 of 1 tasks failed"):
            runner_of(tmp_path).run([task])
    assert task.log.read_text().count("error: out of luck") == 2


# GPUs


@pytest.mark.parametrize(
    ("count", "visible", "found"),
    [(2, None, ["0", "1"]), (2, "5,7", ["5", "7"]), (1, "GPU-ab", ["GPU-ab"]), (0, "", []), (0, None, [])],
)
def test_gpus_are_called_as_the_environment_calls_them(
    monkeypatch: pytest.MonkeyPatch, count: int, visible: str | None, found: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == found


def test_tasks_take_turns_on_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "visible_gpus", lambda: ["5", "7"])
    monkeypatch.setattr(module, "POLL", 1.0)
    tasks = [task_of(tmp_path, name) for name in "abcd"]
    runner_of(tmp_path, 4).run(tasks)
    given = [json.loads((task.steps[0].folder / "environment.json").read_text()) for task in tasks]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in given] == ["5", "7", "5", "7"]


# query stores


def test_stores_are_dropped_once_no_task_reads_them(tmp_path: Path) -> None:
    tasks = pipelines_of(tmp_path)
    store = tasks[0].steps[0]
    (store.folder / "store").mkdir()
    runner_of(tmp_path).run([tasks[0], tasks[2]])
    drop_stores(tasks)
    assert (store.folder / "store").is_dir()  # the other strategy will read it
    runner_of(tmp_path).run(tasks)
    drop_stores(tasks)
    assert not (store.folder / "store").exists()
    assert all(task.completed for task in tasks)


# stopped

STUDY = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from scripts.study import runner
from tests.study.test_runner import runner_of, task_of
runner.PROCESS, runner.PRELOAD, runner.POLL = "fake.process", (), 0.02
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started this with it ignored
runner.listen()
runner_of(Path({folder!r}), 2).run([task_of(Path({folder!r}), name) for name in "abc"])
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


def started(folder: Path, name: str) -> int | None:
    """The number of a task's process, once it has started."""
    path = folder / "study" / name / "pid"
    return int(path.read_text()) if path.is_file() and path.read_text() else None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, INTERRUPTED), (signal.SIGINT, BY_USER)])
def test_a_study_that_is_stopped_stops_its_processes_in_an_orderly_way(
    tmp_path: Path, program: Write, number: signal.Signals, code: int
) -> None:
    program(ORDERLY)
    process = subprocess.Popen(
        [sys.executable, "-c", STUDY.format(root=str(ROOT), folder=str(tmp_path))],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    while not (started(tmp_path, "a") and started(tmp_path, "b")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    for name in "ab":
        assert (tmp_path / "study" / name / "orderly").is_file()
        assert not alive(started(tmp_path, name) or 0)
    assert started(tmp_path, "c") is None
    assert f"study: stopped by {number.name}; run it again to resume" in said
    assert "Traceback" not in said


def test_processes_are_stopped_when_the_runner_fails_itself(
    tmp_path: Path, program: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(ORDERLY)
    runner = runner_of(tmp_path, 2)

    def broken() -> None:
        while not started(tmp_path, "a"):
            time.sleep(0.05)
        raise OSError("the disk is full")

    monkeypatch.setattr(runner, "_collect", broken)
    with pytest.raises(OSError, match="the disk is full"):
        runner.run([task_of(tmp_path, name) for name in "ab"])
    assert not alive(started(tmp_path, "a") or 0)
    assert runner.running == {}
