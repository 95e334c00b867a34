"""Stages in separate processes, into which a test injects a fault at a chosen moment."""

from __future__ import annotations

import errno
import itertools
import os
import pkgutil
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.__main__ import main
from tests.stages import FORKED, run_logged


def patch(owner: str, name: str, before: Callable[[int], None]) -> None:
    """Call ``before`` with 1, 2, ... before each call of owner.name, "module:Class" or "module"."""
    place = pkgutil.resolve_name(owner)
    original, calls = getattr(place, name), itertools.count(1)

    def replaced(*given: Any, **named: Any) -> Any:
        before(next(calls))
        return original(*given, **named)

    setattr(place, name, replaced)


@dataclass(frozen=True)
class Strike:
    """A signal that hits the process, or an error that is raised, at one call of a function.

    Args:
        owner: of the function, "module" or "module:Class".
        name: the function.
        call: at which call of it, from 1.
        what: the signal or the error number.
    """

    owner: str
    name: str
    call: int
    what: signal.Signals | int = signal.SIGKILL

    def __call__(self) -> None:
        patch(self.owner, self.name, self.hit)

    def hit(self, call: int) -> None:
        if call != self.call:
            return
        if isinstance(self.what, signal.Signals):
            os.kill(os.getpid(), self.what)
        else:
            raise OSError(self.what, os.strerror(self.what))


@dataclass(frozen=True)
class Spoiled:
    """A scan that cannot be read from the first attention map on, and a strike after that."""

    scan: Path
    strike: Strike

    def __call__(self) -> None:
        patch("scripts.coarse.cross_fitting", "predict", lambda call: self.scan.write_bytes(b"no volume"))
        self.strike()


@dataclass(frozen=True)
class Filled:
    """A disk that is full from a step on, but for a few KiB: a file that fills it, or a limit on the size of files.

    Args:
        folder: on the disk.
        step: of training.
        own_disk: whether the disk is the test's own and can be filled.
    """

    folder: Path
    step: int
    own_disk: bool
    left: int = 24 * 1024

    def __call__(self) -> None:
        patch("scripts.job.progress:Progress", "step", self.fill)

    def fill(self, call: int) -> None:
        if call != self.step:
            return
        if not self.own_disk:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.left, self.left))
            return
        with open(self.folder / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            file.truncate(file.tell() - self.left)


@dataclass(frozen=True)
class SpoiledStore:
    """A query store whose files another process deletes or cuts at a step of training."""

    store: Path
    harm: str
    step: int

    def __call__(self) -> None:
        patch("scripts.job.progress:Progress", "step", self.spoil)

    def spoil(self, call: int) -> None:
        for path in self.store.glob("*/*.npy") if call == self.step else []:
            if self.harm == "deleted":
                path.unlink()
            else:
                os.truncate(path, path.stat().st_size // 2)


@dataclass(frozen=True)
class Offline:
    """No network: each attempt to reach it fails and is noted in a file."""

    note: Path

    def __call__(self) -> None:
        for name in ("connect", "connect_ex"):
            self.cut(socket.socket, name, lambda given: given[0].family in (socket.AF_INET, socket.AF_INET6))
        for name in ("getaddrinfo", "gethostbyname", "create_connection"):
            self.cut(socket, name, lambda given: True)

    def cut(self, owner: Any, name: str, concerned: Callable[[Any], bool]) -> None:
        original = getattr(owner, name)

        def refused(*given: Any, **named: Any) -> Any:
            if not concerned(given):
                return original(*given, **named)
            with open(self.note, "a") as file:
                file.write(f"{name} {given}\n")
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

        setattr(owner, name, refused)


def start(stage: str, log: Path, harm: Callable[[], None] | None, overrides: dict[str, object]) -> Any:
    """Start a stage with its smallest numbers in a process of its own; its output is written to ``log``."""
    process = FORKED.Process(target=run_logged, args=(log, harm, stage), kwargs=overrides)
    process.start()
    return process


@dataclass(frozen=True)
class Unread:
    """Output whose reader has closed it, as of a command before `| head`."""

    def __call__(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)


def run_command(arguments: list[str], log: Path, harm: Callable[[], None] | None = None) -> int:
    """Run ``python -m scripts`` in a process of its own to its end; its output is written to ``log``."""
    process = FORKED.Process(target=_command, args=(arguments, log, harm))
    process.start()
    process.join()
    return int(process.exitcode)


def _command(arguments: list[str], log: Path, harm: Callable[[], None] | None) -> None:
    with open(log, "a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    if harm is not None:
        harm()
    sys.argv = ["scripts", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started this with it ignored
    try:
        main()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        sys.stderr.flush()
