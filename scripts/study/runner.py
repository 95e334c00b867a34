"""Runs the steps of a study in several processes of this machine, with a progress bar and an estimate of the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from .. import signals
from ..bars import bar
from ..errors import SemclError
from ..files import write_text
from .copies import Copies
from .step import Step

POLL = 0.5  # seconds
PROCESS = f"{__package__}.step_process"  # by the name this package has here: scripts in a clone, semcl installed
PRELOAD = ("monai.bundle", "monai.engines", "monai.networks.nets", "torch.optim")  # what takes long to import
TAIL = 12  # lines of a failed process's log that are shown


@dataclass(frozen=True, eq=False)
class Task:
    """Steps that one process runs one after the other.

    Args:
        title: in words.
        steps: in order.
    """

    title: str
    steps: tuple[Step, ...]

    @property
    def completed(self) -> bool:
        """Whether all of its steps have run to their end."""
        return all(step.completed for step in self.steps)

    @property
    def needs(self) -> set[Step]:
        """Steps of other tasks that have to be there."""
        return {need for step in self.steps for need in step.needs} - set(self.steps)

    @property
    def note(self) -> Path:
        """What its process is given."""
        return self.steps[-1].folder / "task.json"

    @property
    def log(self) -> Path:
        """What its process printed."""
        return self.steps[-1].folder / "task.log"


class Runner:
    """Runs tasks, each in its own process that writes task.log, and shows how many of their steps are done.

    ``stop`` ends the process that starts those, and what is still running.

    Args:
        bundle_root: the bundle's folder.
        workers: how many processes run at once; they share the cores and take turns on the GPUs.
        tolerance: of NSD, mm.
    """

    def __init__(self, bundle_root: Path, workers: int, tolerance: float) -> None:
        self.bundle_root, self.workers, self.tolerance = bundle_root, workers, tolerance
        self.running: dict[int, Task] = {}  # by worker
        self.failed: list[Task] = []
        self._done: set[Step] = set()  # steps known to have completed
        threads = str(max(1, (os.cpu_count() or 1) // workers))
        environment = {"OMP_NUM_THREADS": threads} if workers > 1 and "OMP_NUM_THREADS" not in os.environ else {}
        self._copies = Copies(bundle_root, PROCESS, PRELOAD, environment)

    def run(self, tasks: Sequence[Task], title: str = "study", probe: bool = False) -> None:
        """Run the tasks that have not completed.

        Raises:
            SemclError: after all others have run, when some failed.
        """
        self.failed = []
        waiting = [task for task in tasks if not all(map(self._has, task.steps))]
        if not waiting:
            return
        steps = list(dict.fromkeys(step for task in waiting for step in task.steps))
        todo = [step for step in steps if not self._has(step)]
        print(f"{title}: {len(tasks) - len(waiting)} of {len(tasks)} tasks done, {len(waiting)} to run", flush=True)
        try:
            with bar(total=len(todo), title=title, unit="step", smoothing=0.1) as shown:
                while waiting or self.running:
                    for place in range(self.workers):
                        if place not in self.running and (task := self._next(waiting)):
                            self._start(place, task, probe)
                    if waiting and not self.running:
                        break  # what they need has failed
                    time.sleep(POLL)
                    self._collect()
                    shown.update(sum(map(self._has, todo)) - shown.n)
        finally:
            if self.running:
                self.stop()
        if self.failed:
            raise self._failure(len(tasks), waiting)

    def measure(self, step: Step) -> None:
        """Run one step while nothing else runs here, counting its operations."""
        self.run([Task(step.key, (step,))], "costs", probe=True)

    def _has(self, step: Step) -> bool:
        """Whether a step has completed; asked of its files until it has."""
        if step not in self._done and step.completed:
            self._done.add(step)
        return step in self._done

    def _next(self, waiting: list[Task]) -> Task | None:
        """Take the first task that can start: what it needs is there, and no other process makes one of its steps."""
        busy = {step for task in self.running.values() for step in task.steps}
        for task in waiting:
            left = {step for step in task.steps if not self._has(step)}
            if all(map(self._has, task.needs)) and not busy & left:
                waiting.remove(task)
                return task
        return None

    def _start(self, place: int, task: Task, probe: bool) -> None:
        note = {"steps": [step.described() for step in task.steps], "tolerance": self.tolerance}
        write_text(task.note, json.dumps({**note, "title": task.title, "probe": probe}, indent=1))
        gpus = visible_gpus() if self.workers > 1 else []
        environment = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if len(gpus) > 1 else {}
        self._copies.start(place, task.note, task.log, environment)
        self.running[place] = task

    def _collect(self) -> None:
        """Remove the tasks that have ended from those running."""
        for place, code in self._copies.ended().items():
            task = self.running.pop(place)
            if code:
                self.failed.append(task)
                tqdm.write(f"study: {task.title} failed, see {task.log}", file=sys.stderr)

    def stop(self) -> None:
        """Stop what is still running in an orderly way, so that it can be resumed."""
        self._copies.stop()
        self.running = {}

    def _failure(self, count: int, blocked: Sequence[Task]) -> SemclError:
        """The error for tasks that failed, and those that could not run without them."""
        path = self.failed[0].log
        log = path.read_bytes().decode(errors="replace") if path.is_file() else "it could not be started"
        lines = [line.rpartition("\r")[2] for line in log.split("\n") if line.strip()]  # a bar's last state
        names = ", ".join(task.title for task in self.failed)
        lost = f"; {len(blocked)} others need them" if blocked else ""
        return SemclError(
            f"{len(self.failed)} of {count} tasks failed{lost}",
            found="\n".join([f"{names}; the log of the first ends", *lines[-TAIL:]]),
            expected="tasks that complete",
            remedy="fix the cause and run the study again: finished steps are kept, the others are resumed",
        )


def drop_stores(tasks: Sequence[Task]) -> None:
    """Remove the query stores that no task will read again; they are built anew where one is asked for after all."""
    needed = {need for task in tasks if not task.completed for step in task.steps for need in (step, *step.needs)}
    for step in {step for task in tasks for step in task.steps} - needed:
        if step.stage == "store" and step.completed:
            shutil.rmtree(step.folder / "store", ignore_errors=True)


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by their names in CUDA_VISIBLE_DEVICES."""
    count = torch.cuda.device_count()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names.split(",")[:count] if names else [str(number) for number in range(count)]


def listen() -> None:
    """Make signals end the study in an orderly way, with the exit code of an interrupted run."""

    def stop(number: signal.Signals) -> None:
        signals.say(f"\nstudy: stopped by {number.name}; run it again to resume: finished steps are kept")
        sys.exit(signals.BY_USER if number == signal.SIGINT else signals.INTERRUPTED)

    signals.catch(stop)
