"""What a stage of a study costs: device seconds, steps, samples and floating-point operations, noted beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch.utils.flop_counter import FlopCounterMode

from ..files import write_text
from ..freshness import noted

FILE_NAME = "cost.json"


def device_seconds() -> float:
    """A clock of the device: of the wall where there is a GPU, else of this process's processor time, all threads."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.monotonic()
    return time.process_time()


class Clock:
    """Handler: notes after each epoch what the stage has cost, earlier interrupted runs included.

    Args:
        folder: gets cost.json.
        probe: a short run that measures the cost of a step: time each step, and count the operations of the first one,
            which slows it.
    """

    def __init__(self, folder: str, probe: bool = False) -> None:
        self.path, self.probe = Path(folder) / FILE_NAME, probe
        self.before: Mapping[str, Any] = noted(self.path)
        self.mark = device_seconds()
        self.ends: list[float] = []  # of the steps of an epoch
        self.training = 0.0  # seconds
        self.steps = self.samples = self.flops = 0
        self.counter: FlopCounterMode | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_STARTED, self.count)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.end)

    def begin(self, _: Engine) -> None:
        """Start an epoch."""
        self.mark, self.ends = device_seconds(), []

    def count(self, _: Engine) -> None:
        """Count the operations of the first step."""
        if self.probe and not self.flops:
            self.counter = FlopCounterMode(display=False)
            self.counter.__enter__()  # type: ignore[no-untyped-call]

    def step(self, engine: Engine) -> None:
        """Count a step and its samples."""
        if self.counter is not None:
            self.flops = self.counter.get_total_flops()
            self.counter.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self.counter = None
        self.steps += 1
        if self.probe:
            self.ends.append(device_seconds())
        batch: Any = engine.state.batch
        first = next((part for part in batch.values() if isinstance(part, torch.Tensor)), None)
        self.samples += 0 if first is None else len(first)

    def end(self, _: Engine) -> None:
        """End an epoch, and note the cost so far."""
        seconds = device_seconds() - self.mark
        self.training += seconds
        now = {"training": self.training, "steps": self.steps, "samples": self.samples}
        total = {name: value + self.before.get(name, 0) for name, value in now.items()}
        of_step: dict[str, float] = {}
        if len(self.ends) > 1:
            step = float(np.median(np.diff(self.ends)))
            of_step = {"step": step, "epoch": max(seconds - len(self.ends) * step, 0.0), "flops": self.flops}
        write_text(self.path, json.dumps({**self.before, **total, **of_step}))


def note_whole(folder: Path, seconds: float) -> None:
    """Add the device seconds of a run of a stage, training or not, to its note."""
    path = folder / FILE_NAME
    before = noted(path)
    write_text(path, json.dumps({**before, "whole": before.get("whole", 0) + seconds}))
