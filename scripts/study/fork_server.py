"""Copies one process that has imported what stages need, so that each of many short ones starts at once.

``python fork_server.py MODULE PRELOAD...`` reads requests from stdin, a line of JSON each: {"place", "note", "log",
"environment"}. A copy of it runs MODULE with the note's path as its argument and writes to the log; when one ends, a
line {"place", "code"} goes to stdout. When stdin ends, copies that still run are asked to stop, and waited for.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

FOR_COPIES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the server itself ends with its stdin
WAIT = 0.05  # seconds between looks at who has ended


class ForkServer:
    """Starts copies of this process and says which have ended.

    Args:
        read, write: file descriptors of the requests and of the answers.
    """

    def __init__(self, read: int, write: int) -> None:
        self.read, self.write = read, write
        self.running: dict[int, int] = {}  # places by process number
        self.handlers = {number: signal.signal(number, signal.SIG_IGN) for number in FOR_COPIES}

    def serve(self) -> str | None:
        """Answer requests. Returns in each copy the path of its note, and in the server, at its end, None."""
        for request in self._requests():
            signal.pthread_sigmask(signal.SIG_BLOCK, FOR_COPIES)  # a copy that is to stop at once must not miss it
            number = os.fork()
            if not number:
                return self._become(request)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_COPIES)
            self.running[number] = request["place"]
        for number in self.running:
            os.kill(number, signal.SIGTERM)
        for number in self.running:
            os.waitpid(number, 0)
        return None

    def _requests(self) -> Iterator[dict[str, Any]]:
        """Requests until stdin ends; meanwhile it is said which copies have ended."""
        text = b""
        while True:
            if select.select([self.read], [], [], WAIT)[0]:
                more = os.read(self.read, 1 << 16)
                if not more:
                    return
                *lines, text = (text + more).split(b"\n")
                yield from map(json.loads, lines)
            self._say_ended()

    def _say_ended(self) -> None:
        while self.running:
            number, status = os.waitpid(-1, os.WNOHANG)
            if not number:
                return
            answer = {"place": self.running.pop(number), "code": os.waitstatus_to_exitcode(status)}
            os.write(self.write, json.dumps(answer).encode() + b"\n")

    def _become(self, request: dict[str, Any]) -> str:
        """Make this copy a process of its own: its output, environment and signals."""
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        for number in {log, nothing, self.read, self.write} - {0, 1, 2}:
            os.close(number)
        os.environ.update(request["environment"])
        for which, handler in self.handlers.items():
            signal.signal(which, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_COPIES)
        note: str = request["note"]
        return note


def main(module: str, preload: Sequence[str]) -> None:
    """Import, serve, and in a copy run the module."""
    server = ForkServer(os.dup(0), os.dup(1))
    with open(os.devnull, "r+") as nothing:  # what imports print belongs to nobody
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    for name in preload:
        with suppress(Exception):  # whoever needs it says so in its log
            importlib.import_module(name)
    note = server.serve()
    if note is not None:
        sys.argv = [module, note]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # instead of this file's folder, whose modules would hide others
    main(sys.argv[1], sys.argv[2:])
