"""The process that starts copies of itself, spoken to as ``Copies`` does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.study.copies import SERVER

PROGRAM = """
import signal, sys, time
path = sys.argv[1]
def stop(number, frame):
    open(path, "w").write(f"stopped by {signal.Signals(number).name}")
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
open(path, "w").write("started")
time.sleep(float(open(path + ".seconds").read()))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "program.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(SERVER), "program"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def request(folder: Path, place: int, seconds: float) -> bytes:
    note = folder / str(place)
    Path(f"{note}.seconds").write_text(str(seconds))
    asked = {"place": place, "note": str(note), "log": f"{note}.log", "environment": {}}
    return json.dumps(asked).encode() + b"\n"


def until_started(*paths: Path) -> None:
    while not all(path.is_file() and path.read_text() for path in paths):
        time.sleep(0.02)


def test_requests_may_come_in_pieces_and_answers_say_who_ended(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert server.stdin
    assert server.stdout
    text = request(tmp_path, 7, 0) + request(tmp_path, 8, 0)
    for part in (text[:20], text[20:-5], text[-5:]):
        server.stdin.write(part)
        server.stdin.flush()
        time.sleep(0.1)
    answers = [json.loads(server.stdout.readline()) for _ in range(2)]
    assert sorted(answer["place"] for answer in answers) == [7, 8]
    assert {answer["code"] for answer in answers} == {0}


def test_when_its_requests_end_what_runs_is_stopped_in_an_orderly_way(
    server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert server.stdin
    server.stdin.write(request(tmp_path, 0, 60) + request(tmp_path, 1, 60))
    server.stdin.flush()
    until_started(tmp_path / "0", tmp_path / "1")
    server.stdin.close()
    assert server.wait(timeout=60) == 0
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text() == "stopped by SIGTERM"


def test_a_signal_to_all_ends_the_copies_and_not_the_server(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """As a scheduler sends it: whoever started the server hears of it himself."""
    assert server.stdin
    assert server.stdout
    server.stdin.write(request(tmp_path, 0, 60))
    server.stdin.flush()
    until_started(tmp_path / "0")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        server.send_signal(number)
    time.sleep(0.2)
    assert server.poll() is None
    server.stdin.write(request(tmp_path, 1, 0))
    server.stdin.flush()
    assert json.loads(server.stdout.readline()) == {"place": 1, "code": 0}
