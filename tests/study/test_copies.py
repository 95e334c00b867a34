"""Processes that are copies of one, with a small program in place of the stages."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.study.copies import Copies

PROGRAM = """
import os, sys, time
print("imported" if "colorsys" in sys.modules else "not imported", os.environ.get("OWN"), os.environ.get("SHARED"))
note = open(sys.argv[1]).read()
if note.startswith("exit"):
    sys.exit(int(note.split()[1]))
if note == "fail":
    raise ValueError("out of luck")
if note == "wait":
    open(sys.argv[1] + ".pid", "w").write(str(os.getpid()))
    time.sleep(60)
"""
Start = Callable[[int, str], Path]


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    (tmp_path / "bundle" / "fake").mkdir(parents=True)
    (tmp_path / "bundle" / "fake" / "process.py").write_text(PROGRAM)
    return Copies(tmp_path / "bundle", "fake.process", ("colorsys", "no_such_module"), {"SHARED": "all"})


@pytest.fixture
def start(copies: Copies, tmp_path: Path) -> Start:
    """Starts a process that does what its note says; returns its log."""

    def started(place: int, note: str) -> Path:
        path = tmp_path / f"{place}.json"
        path.write_text(note)
        copies.start(place, path, tmp_path / f"{place}.log", {"OWN": f"of {place}"})
        return tmp_path / f"{place}.log"

    return started


def wait(copies: Copies) -> dict[int, int]:
    found: dict[int, int] = {}
    while copies.running:
        found |= copies.ended()
        time.sleep(0.02)
    return found


def test_exit_codes_are_those_of_processes(copies: Copies, start: Start) -> None:
    for place, note in enumerate(("", "exit 3", "fail")):
        start(place, note)
    assert wait(copies) == {0: 0, 1: 3, 2: 1}


def test_a_log_holds_all_that_is_printed_by_one_process_and_keeps_what_was_there(copies: Copies, start: Start) -> None:
    log = start(0, "")
    wait(copies)
    start(0, "fail")
    wait(copies)
    first, second, *trace = log.read_text().splitlines()
    assert first == second == "imported of 0 all"
    assert trace[-1] == "ValueError: out of luck"


def test_each_has_its_own_environment(copies: Copies, start: Start) -> None:
    logs = [start(place, "") for place in range(2)]
    wait(copies)
    assert [log.read_text().split(maxsplit=1)[1] for log in logs] == ["of 0 all\n", "of 1 all\n"]
    assert "OWN" not in os.environ


def test_one_that_is_killed_is_told_by_the_signals_number(copies: Copies, start: Start, tmp_path: Path) -> None:
    start(0, "wait")
    os.kill(number_of(tmp_path / "0.json.pid"), signal.SIGKILL)
    assert wait(copies) == {0: -signal.SIGKILL}


def test_all_have_ended_with_the_server(copies: Copies, start: Start, tmp_path: Path) -> None:
    start(0, "wait")
    number = number_of(tmp_path / "0.json.pid")
    server = copies._server
    assert server is not None
    server.kill()
    assert wait(copies) == {0: -signal.SIGKILL}
    os.kill(number, signal.SIGKILL)
    log = start(1, "")  # another server
    assert wait(copies) == {1: 0}
    assert log.read_text()


def test_stopping_ends_what_runs_and_waits_for_it(copies: Copies, start: Start, tmp_path: Path) -> None:
    start(0, "wait")
    number = number_of(tmp_path / "0.json.pid")
    copies.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert copies.ended() == {}


def test_nothing_runs_before_something_is_started(copies: Copies) -> None:
    copies.stop()
    assert copies.ended() == {}
    assert "scripts.study.fork_server" not in sys.modules


def number_of(path: Path) -> int:
    """The number of a process that writes it, once it has."""
    while not (path.is_file() and path.read_text()):
        time.sleep(0.02)
    return int(path.read_text())
