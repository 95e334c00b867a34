"""Progress of an engine: a bar with the time left, and the loss of each epoch in a file."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from tqdm import tqdm


def mean_loss(output: Any) -> float:
    """Loss of an engine's output, decollated (a list of samples) or not."""
    return float(_loss(output))


def _loss(output: Any) -> torch.Tensor:
    """The loss, left on its device; a decollated batch repeats it for each sample."""
    sample: Any = output[0] if isinstance(output, list) else output
    return torch.as_tensor(sample["loss"]).detach()


class Progress:
    """Handler: one bar over all iterations of a run, or of several runs of the same engine.

    Args:
        title: shown before the bar.
        unit: what an iteration is called.
        runs: how often the engine will be run.
        show_loss: show the loss once an epoch (it costs a device sync, so not each step).
    """

    def __init__(self, title: str, unit: str = "step", runs: int = 1, show_loss: bool = True) -> None:
        self.title, self.unit, self.runs, self.show_loss = title, unit, runs, show_loss
        self.bar: tqdm[Any] | None = None
        self.finished = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.step)
        if self.show_loss:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.loss)
        engine.add_event_handler(Events.COMPLETED, self.close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.give_up)

    def open(self, engine: Engine) -> None:
        if self.bar is None:
            total = self.runs * (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
            every = 0.1 if sys.stderr.isatty() else 10  # seconds; a log is not a terminal
            self.bar = tqdm(total=total, desc=self.title, unit=self.unit, mininterval=every)

    def step(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.update()

    def loss(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {mean_loss(engine.state.output):.3f}", refresh=False)

    def close(self, engine: Engine) -> None:
        self.finished += 1
        if self.bar is not None and self.finished == self.runs:
            self.bar.close()

    def give_up(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        raise error


class LossCurve:
    """Handler: the mean loss of each epoch as a row of a CSV file (columns stage, run, epoch, loss).

    Args:
        path: the file; started anew by the first epoch.
        stage: the stage's name.
    """

    def __init__(self, path: str, stage: str) -> None:
        self.path, self.stage = Path(path), stage
        self.runs = 0
        self.total: Any = 0.0
        self.steps = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        self.runs += 1
        self.total, self.steps = 0.0, 0
        if self.runs == 1:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(["stage", "run", "epoch", "loss"])

    def add(self, engine: Engine) -> None:
        self.total = self.total + _loss(engine.state.output)
        self.steps += 1

    def write(self, engine: Engine) -> None:
        with open(self.path, "a", newline="") as file:
            row = [self.stage, self.runs, engine.state.epoch, f"{float(self.total) / self.steps:.6f}"]
            csv.writer(file, lineterminator="\n").writerow(row)
        self.total, self.steps = 0.0, 0
