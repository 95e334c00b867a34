"""Processes that start at once, as copies of one that has already imported what stages need."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

SERVER = Path(__file__).with_name("fork_server.py")


class Copies:
    """Processes of one module, each with a note's path as its argument; they share one process that starts them.

    Args:
        folder: where they run.
        module: what they run, by its name.
        preload: modules that are imported once, for all of them.
        environment: of them all.
    """

    def __init__(self, folder: Path, module: str, preload: Sequence[str], environment: Mapping[str, str]) -> None:
        self.folder, self.words, self.environment = folder, [module, *preload], dict(environment)
        self.running: set[int] = set()  # places
        self._server: subprocess.Popen[bytes] | None = None
        self._text = b""  # of an answer that has not come whole

    def start(self, place: int, note: Path, log: Path, environment: Mapping[str, str]) -> None:
        """Start a process.

        Args:
            place: a number of one's own for it, free until ``ended`` names it.
            note: its argument.
            log: what it prints is added here.
            environment: its own variables.
        """
        request = {"place": place, "note": str(note), "log": str(log), "environment": dict(environment)}
        stdin, _ = self._pipes()
        self.running.add(place)
        with suppress(BrokenPipeError):  # the server has been killed: ``ended`` will say so
            stdin.write(json.dumps(request).encode() + b"\n")

    def ended(self) -> dict[int, int]:
        """Exit codes of the processes that have ended since the last call, by place; negative for a signal's number."""
        found: dict[int, int] = {}
        while self.running:
            _, stdout = self._pipes()
            if not select.select([stdout], [], [], 0)[0]:
                break
            more = stdout.read(1 << 16)
            if not more:  # the server has been killed
                found |= dict.fromkeys(self.running, -signal.SIGKILL)
                self.stop()
                break
            *lines, self._text = (self._text + more).split(b"\n")
            for answer in map(json.loads, lines):
                found[answer["place"]] = answer["code"]
                self.running.discard(answer["place"])
        return found

    def stop(self) -> None:
        """Stop those that still run in an orderly way, and wait for them."""
        if self._server is not None:
            for pipe in self._pipes():
                pipe.close()
            self._server.wait()
        self._server, self._text = None, b""
        self.running.clear()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """What the server reads and writes; it is started when there is none."""
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, str(SERVER), *self.words],
                cwd=self.folder, env={**os.environ, **self.environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                bufsize=0,
            )  # fmt: skip
        stdin, stdout = self._server.stdin, self._server.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("a process was started without pipes")
        return stdin, stdout
