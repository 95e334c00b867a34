"""Locks of runs on the folder they write to: advisory, and gone with the process that holds them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import SemclError


class Locks:
    """Lock files of a run, held until they are released or the process ends.

    Args:
        folder: of the lock files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: list[IO[str]] = []

    def claim(self, names: Mapping[str, bool]) -> None:
        """Take and hold <name>.lock for each name, shared with other runs where its value is True.

        Raises:
            SemclError: when another run holds one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, is_shared in names.items():
            path = self.folder / f"{name}.lock"
            self.held.append(open(path, "a"))  # noqa: SIM115  # held until the run ends
            try:
                fcntl.flock(self.held[-1], (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except OSError as error:
                raise SemclError(
                    f"another run of {name} is writing here",
                    found=f"{path} is locked",
                    expected="one run per stage and folder, or one per shard",
                    remedy="wait for it or stop it, or give this one another --output_dir",
                ) from error

    @contextmanager
    def one_at_a_time(self, what: str) -> Iterator[None]:
        """Keep other runs out of something short: wait for <what>.lock and hold it meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"{what}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def release(self) -> None:
        """Let go of all locks."""
        while self.held:
            self.held.pop().close()
