"""The clock: steps, samples and operations of a small engine, and sums over interrupted runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from scripts.study import clock as module
from scripts.study.clock import Clock, device_seconds, note_whole

IN, OUT, BATCH = 3, 5, 4


class Seconds:
    """A clock of the device that goes on by one with every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    made = Seconds()
    monkeypatch.setattr(module, "device_seconds", made)
    return made


def train(
    folder: Path, epochs: int = 2, steps: int = 5, probe: bool = False, stop: int | None = None
) -> dict[str, Any]:
    """What is noted of training one linear layer, which breaks off after ``stop`` steps."""
    layer, done = torch.nn.Linear(IN, OUT), 0

    def step(_: Engine, batch: Mapping[str, torch.Tensor]) -> None:
        nonlocal done
        if done == stop:
            raise KeyboardInterrupt
        done += 1
        layer(batch["image"]).sum().backward()

    engine = Engine(step)
    Clock(str(folder), probe).attach(engine)
    batches = [{"name": "no tensor", "image": torch.ones(BATCH, IN)} for _ in range(steps)]
    with contextlib.suppress(KeyboardInterrupt):
        engine.run(batches, max_epochs=epochs)
    return dict(json.loads((folder / "cost.json").read_text()))


def test_steps_and_samples_are_counted(tmp_path: Path) -> None:
    found = train(tmp_path)
    assert (found["steps"], found["samples"]) == (10, 10 * BATCH)
    assert found["training"] > 0
    assert not {"step", "flops"} & found.keys()


def test_training_is_what_passes_between_the_ends_of_epochs(tmp_path: Path, seconds: Seconds) -> None:
    assert train(tmp_path, epochs=3)["training"] == 3  # one look at each begin, one at each end


def test_a_probe_notes_the_operations_of_a_step_exactly(tmp_path: Path) -> None:
    found = train(tmp_path, probe=True)
    forward = 2 * BATCH * IN * OUT
    assert found["flops"] == 2 * forward  # the weights' gradient costs as much; none is asked for the inputs
    assert found["step"] >= 0


def test_a_probe_s_step_is_the_median_of_its_last_epoch(tmp_path: Path, seconds: Seconds) -> None:
    found = train(tmp_path, probe=True)
    assert (found["step"], found["epoch"]) == (1, 1)  # an epoch of five steps, and one look more
    assert found["training"] == 2 * (5 + 1)


def test_operations_are_counted_once_for_all_rounds(tmp_path: Path) -> None:
    assert train(tmp_path / "one", epochs=1, probe=True)["flops"] == train(tmp_path / "two", 3, probe=True)["flops"]


def test_a_resumed_run_adds_to_what_was_noted(tmp_path: Path, seconds: Seconds) -> None:
    first = train(tmp_path, epochs=2)
    both = train(tmp_path, epochs=1)
    assert (first["steps"], both["steps"], both["samples"]) == (10, 15, 15 * BATCH)
    assert both["training"] == first["training"] + 1


def test_an_epoch_that_broke_off_is_not_counted(tmp_path: Path) -> None:
    assert train(tmp_path, epochs=3, stop=12)["steps"] == 10


def test_a_damaged_note_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "cost.json").write_text("{")
    assert train(tmp_path)["steps"] == 10


def test_whole_seconds_add_up_beside_the_rest(tmp_path: Path) -> None:
    train(tmp_path)
    note_whole(tmp_path, 2.5)
    note_whole(tmp_path, 1.5)
    found = json.loads((tmp_path / "cost.json").read_text())
    assert (found["whole"], found["steps"]) == (4.0, 10)


def test_a_run_after_another_keeps_the_whole_seconds_noted_before(tmp_path: Path) -> None:
    train(tmp_path)
    note_whole(tmp_path, 2.5)
    assert train(tmp_path)["whole"] == 2.5


def test_seconds_of_the_device_are_those_it_worked() -> None:
    start = device_seconds()
    torch.ones(200, 200) @ torch.ones(200, 200)
    assert 0 <= device_seconds() - start < 60
