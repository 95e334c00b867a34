"""Progress of an engine: a bar with the time left, and the losses and validations of its epochs in files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from .. import ranks
from ..bars import bar
from ..files import write_csv
from ..finite import training_failed
from ..outputs import Output
from ..sidefiles import for_show


class AsSamples:
    """Handler: turn an engine's output into a list of one sample, as MONAI's loggers (TensorBoard, MLflow) need it.

    A decollated output has that form too, but waits for the device at each step.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        engine.state.output = [engine.state.output]  # type: ignore[assignment]


def mean_loss(output: Any) -> float:
    """Return the loss of an engine's output, decollated or not."""
    return float(_loss(output))


def _loss(output: Any) -> torch.Tensor:
    """Return the loss, left on its device; a decollated batch repeats it for each sample."""
    sample: Any = output[0] if isinstance(output, list) else output
    return torch.as_tensor(sample["loss"]).detach()


class Progress:
    """Handler: one bar over all iterations of a run, or of several runs of the same engine; of rank 0 alone.

    Args:
        title: shown before the bar.
        unit: what an iteration is called.
        runs: number of times the engine will be run.
        show_loss: show the loss once per epoch (not per step: it costs a device sync).
    """

    def __init__(self, title: str, unit: str = "step", runs: int = 1, show_loss: bool = True) -> None:
        self.title, self.unit, self.runs, self.show_loss = title, unit, runs, show_loss
        self.bar: Any = None
        self.finished = 0

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self.open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.step)
        if self.show_loss:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.loss)
        engine.add_event_handler(Events.COMPLETED, self.close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.give_up)

    def open(self, engine: Engine) -> None:
        """Show the bar, when the first run starts."""
        if self.bar is None and ranks.number() == 0:
            steps = (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)  # of one run
            self.finished = getattr(engine.state, "round", 0)  # of the runs, where one is resumed
            done = self.finished * steps + engine.state.iteration
            self.bar = bar(total=self.runs * steps, title=self.title, unit=self.unit, initial=done)

    def step(self, engine: Engine) -> None:
        """Count an iteration."""
        if self.bar is not None:
            self.bar.update()

    def loss(self, engine: Engine) -> None:
        """Show the loss."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {mean_loss(engine.state.output):.3f}", refresh=False)

    def close(self, engine: Engine) -> None:
        """End the bar, when the last run has completed."""
        self.finished += 1
        if self.bar is not None and self.finished == self.runs:
            self.bar.close()

    def give_up(self, engine: Engine, error: BaseException) -> None:
        """End the bar and raise the error that ended the run."""
        if self.bar is not None:
            self.bar.close()
        raise error


class LossCurve:
    """Handler: the mean loss of each epoch as a row of a CSV file (columns stage, run, epoch, loss, then metrics).

    Of several ranks the mean over all is written, by the first.

    Args:
        path: the file; overwritten by the first epoch.
        stage: the stage's name.
        metrics: returns more figures of the epoch by name; they are also put into ``engine.state.metrics``.
    """

    def __init__(self, path: str, stage: str, metrics: Callable[[], Mapping[str, float]] = dict) -> None:
        self.path, self.stage, self.metrics = Path(path), stage, metrics
        self.rows: list[list[Any]] = []
        self.runs = 0
        self.total: Any = 0.0
        self.steps = 0
        self.finite_steps: Any = 0  # before the first loss that is not finite

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        """Begin a run, or go on after the rows of a resumed one.

        Raises:
            SemclError: when there is a file of the curve's name, or of its validation's, that is not a curve.
        """
        folder = Output(self.path.parent, "curves of stages", "--output_dir")
        names = [self.path.name, f"{self.path.stem}_validation.csv"]
        ranks.first_alone(lambda: folder.claim_files(names, _is_curve))
        self.runs = getattr(engine.state, "round", self.runs) + 1
        if engine.state.epoch and self.path.is_file():  # resumed: keep what came before
            done = (self.runs, engine.state.epoch)
            self.rows = for_show(self.path, lambda path: _rows_until(path, done)) or []
        self.total, self.steps, self.finite_steps = 0.0, 0, 0

    def add(self, engine: Engine) -> None:
        """Add the loss of an iteration."""
        self.total = self.total + _loss(engine.state.output)
        self.finite_steps = self.finite_steps + self.total.isfinite()  # on the device: nothing waits for it here
        self.steps += 1

    def write(self, engine: Engine) -> None:
        """Write the row of an epoch.

        Raises:
            SemclError: on every rank, when a loss of the epoch was NaN or infinite on any: before its checkpoint.
        """
        both = torch.stack([self.finite_steps.double(), self.total.double()]).tolist()  # the device is waited for once
        finite, totals = zip(*ranks.gathered(both), strict=True)
        if min(finite) < self.steps:
            raise training_failed(engine, "a loss that is NaN or infinite", int(min(finite)) + 1)
        more = self.metrics()
        engine.state.metrics.update(more)
        mean = sum(totals) / self.steps / ranks.count()
        figures = [mean, *more.values()]
        self.rows.append([self.stage, self.runs, engine.state.epoch, *(f"{figure:.6f}" for figure in figures)])
        if ranks.number() == 0:
            write_csv(self.path, [["stage", "run", "epoch", "loss", *more], *self.rows])
        self.total, self.steps, self.finite_steps = 0.0, 0, 0


class ValidationCurve:
    """Handler of an evaluator: its metrics after each validation as a row of a CSV file (columns epoch, then metrics).

    The first of several ranks writes. The trainer's ``LossCurve`` makes sure that the file is the stage's own.

    Args:
        path: the file, <stage>_validation.csv; overwritten by the first validation.
        resume: keep the values of the interrupted run, as far as training goes on after them.
        suffix: returns what follows the metrics' names in the columns of the training round at present.
    """

    def __init__(self, path: str, resume: bool = False, suffix: Callable[[], str] = str) -> None:
        self.path, self.resume, self.suffix = Path(path), resume, suffix
        self.rows: dict[int, dict[str, str]] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        if self.resume and self.path.is_file():
            self.rows = for_show(self.path, _values) or {}
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        epoch, metrics = engine.state.epoch, engine.state.metrics
        found = {f"{name}{self.suffix()}": f"{float(value):.6f}" for name, value in metrics.items()}
        for later in [number for number in self.rows if number >= epoch]:
            self.rows[later] = {name: value for name, value in self.rows[later].items() if name not in found}
        self.rows.setdefault(epoch, {}).update(found)
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        kept = [[number, *(row.get(name, "") for name in names)] for number, row in sorted(self.rows.items()) if row]
        if ranks.number() == 0:
            write_csv(self.path, [["epoch", *names], *kept])


def _is_curve(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8").startswith(("stage,run,epoch,loss", "epoch,val_"))
    return False


def _rows(path: Path) -> list[list[Any]]:
    """Return the rows of a file below its columns."""
    with open(path, newline="") as file:
        return list(csv.reader(file))[1:]


def _values(path: Path) -> dict[int, dict[str, str]]:
    """Return the values of a validation's curve by epoch and column."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {int(row.pop("epoch")): {name: value for name, value in row.items() if value} for row in rows}


def _rows_until(path: Path, done: tuple[int, int]) -> list[list[Any]]:
    """Return the rows of a curve up to a run and an epoch of it."""
    return [row for row in _rows(path) if (int(row[1]), int(row[2])) <= done]
