"""Runs the units of a study in several processes of this machine, with a progress bar over their stages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from .. import signals
from ..errors import SemclError
from ..files import write_text
from ..sidefiles import damaged, read_note
from .plan import Plan, Unit, steps
from .unit_process import has_completed

POLL = 0.2  # seconds
UNIT = "scripts.study.unit_process"  # its name within the bundle, where it is run
TAIL = 12  # lines of a failed unit's log that are shown


class Runner:
    """Runs units, each in its own process that writes unit.log, and shows how many of their stages are done.

    Args:
        plan: the study.
        workers: how many processes run at once; they share the cores and take turns on the GPUs.
    """

    def __init__(self, plan: Plan, workers: int) -> None:
        self.plan, self.workers = plan, workers
        self.running: dict[int, tuple[Unit, subprocess.Popen[bytes]]] = {}  # by worker
        self.failed: list[Unit] = []

    def run(self, units: Sequence[Unit]) -> None:
        """Run the units that are not done.

        Raises:
            SemclError: when a finished unit was run with other numbers, before anything runs; or, after all have run,
                when some failed.
        """
        waiting = [unit for unit in units if not self.done(unit)]
        if not waiting:
            return
        print(f"study: {len(units) - len(waiting)} of {len(units)} units done, {len(waiting)} to run", flush=True)
        every = 0.1 if sys.stderr.isatty() else 30  # seconds; a log gets fewer lines than a terminal
        total = sum(len(steps(self.plan, unit)) for unit in waiting)
        ended = 0  # stages of units that ended
        try:
            with tqdm(total=total, desc="study", unit="stage", mininterval=every, smoothing=0.1) as bar:
                while waiting or self.running:
                    for place in range(self.workers):
                        if waiting and place not in self.running:
                            self.start(place, waiting.pop(0))
                    time.sleep(POLL)
                    ended += sum(len(steps(self.plan, unit)) for unit in self.collect())
                    bar.update(ended + sum(self.completed(unit) for unit, _ in self.running.values()) - bar.n)
        finally:
            self.stop()
        if self.failed:
            raise self.failure(len(units))

    def note(self, unit: Unit) -> dict[str, Any]:
        """What the unit's process is given."""
        return {
            "settings": self.plan.settings(unit),
            "method": unit.strategy.name,
            "split": str(self.plan.splits[unit.split]),
            "tolerance": self.plan.tolerance,
            "cells": {cell.name: str(unit.cell_folder(cell)) for cell in self.plan.cells},
            "steps": steps(self.plan, unit),
        }

    def done(self, unit: Unit) -> bool:
        """Whether every cell of a unit is there.

        Raises:
            SemclError: when it was run with other numbers.
        """
        path = unit.folder / "unit.json"
        if not path.is_file():
            return False
        remedy = "remove the unit's folder, and it is run again"
        before, now = read_note(path, "what the unit was run with", remedy).get("settings"), self.plan.settings(unit)
        if not isinstance(before, dict):
            raise damaged(path, "no settings", "what the unit was run with", remedy)
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            raise SemclError(
                f"{unit.title} was run with other numbers",
                found=f"{', '.join(changed)} changed since {path}",
                expected="the configs, overlays, cohort and maps the study was started with",
                remedy="undo the change, or start another study with --out",
            )
        return all((unit.cell_folder(cell) / "rows.csv").is_file() for cell in self.plan.cells)

    def start(self, place: int, unit: Unit) -> None:
        """Start a unit's process."""
        path = unit.folder / "unit.json"
        write_text(path, json.dumps(self.note(unit), indent=1))
        environment = dict(os.environ)
        if self.workers > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.workers)))
            gpus = visible_gpus()
            if len(gpus) > 1:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
        command = [sys.executable, "-m", UNIT, str(path)]
        with open(unit.folder / "unit.log", "ab") as log:
            process = subprocess.Popen(
                command, cwd=self.plan.bundle_root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.running[place] = unit, process

    def collect(self) -> list[Unit]:
        """Remove the units that have ended from those running, and return them."""
        ended = []
        for place, (unit, process) in list(self.running.items()):
            if process.poll() is not None:
                del self.running[place]
                ended.append(unit)
                if process.returncode:
                    self.failed.append(unit)
                    tqdm.write(f"study: {unit.title} failed, see {unit.folder / 'unit.log'}", file=sys.stderr)
        return ended

    def completed(self, unit: Unit) -> int:
        """How many stages of a unit have completed."""
        return sum(has_completed(step) for step in steps(self.plan, unit))

    def stop(self) -> None:
        """Stop what is still running in an orderly way, so that it can be resumed."""
        for _, process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for _, process in self.running.values():
            process.wait()
        self.running = {}

    def failure(self, count: int) -> SemclError:
        """The error for units that failed."""
        first = self.failed[0]
        log = (first.folder / "unit.log").read_bytes().decode(errors="replace")
        lines = [line.rpartition("\r")[2] for line in log.split("\n") if line.strip()]  # a bar's last state
        return SemclError(
            f"{len(self.failed)} of {count} units failed",
            found="\n".join(
                [f"{', '.join(unit.title for unit in self.failed)}; the log of the first ends", *lines[-TAIL:]]
            ),
            expected="units that complete",
            remedy="fix the cause and run the study again: finished units are kept, the others are resumed",
        )


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by their names in CUDA_VISIBLE_DEVICES."""
    count = torch.cuda.device_count()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names.split(",")[:count] if names else [str(number) for number in range(count)]


def listen() -> None:
    """Make signals end the study in an orderly way, with the exit code of an interrupted run."""

    def stop(number: signal.Signals) -> None:
        signals.say(f"\nstudy: stopped by {number.name}; run it again to resume: finished stages are kept")
        sys.exit(signals.BY_USER if number == signal.SIGINT else signals.INTERRUPTED)

    signals.catch(stop)
