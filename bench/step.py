"""Where the time of a pretraining step goes: the stage's own config, with clocks between its parts."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.engines import IterationEvents

from scripts.commands.phantom import phantom

from .timing import table, threads

CONFIG = "bundle/configs/pretrain.yaml"
RESNET50 = {
    "block": "bottleneck",
    "layers": [3, 4, 6, 3],
    "widths": [64, 128, 256, 512],
    "patch_size": 128,
    "clusters_per_batch": 2,
    "queries_per_cluster": 2,
}
ROUNDS, THREADS = 3, 2
PARTS = ("data", "views", "network", "loss", "optimizer and handlers")
USUAL: dict[str, Any] = {}
SLOWER = {"channels_last": False}
CASES: dict[str, tuple[dict[str, Any], int, list[dict[str, Any]]]] = {  # overrides, steps, switches
    "demo net, 64 x 64, 52 queries": ({}, 15, [USUAL, SLOWER, {"precision": "bfloat16"}, {"compile": True}]),
    "ResNet-50, 128 x 128, 4 queries": (
        RESNET50,
        3,
        [USUAL, SLOWER, {"precision": "bfloat16"}],
    ),  # compiling it takes many minutes on a CPU
}


class Clock:
    """Seconds by part of each step of a trainer."""

    def __init__(self, trainer: Engine) -> None:
        self.steps: list[dict[str, float]] = []
        self.loss = 0.0
        for event, part in {
            Events.GET_BATCH_STARTED: "optimizer and handlers",
            Events.GET_BATCH_COMPLETED: "data",
            IterationEvents.FORWARD_COMPLETED: "network",
            IterationEvents.LOSS_COMPLETED: "loss",
            IterationEvents.BACKWARD_COMPLETED: "network",
        }.items():
            trainer.add_event_handler(event, partial(self.mark, part))
        trainer.add_event_handler(Events.GET_BATCH_STARTED, lambda: self.steps.append(dict.fromkeys(PARTS, 0.0)))
        trainer.prepare_batch = self.timed(trainer.prepare_batch)
        self.last = time.perf_counter()

    def mark(self, part: str, engine: Engine | None = None) -> None:
        """Count the time since the last mark towards this part."""
        now = time.perf_counter()
        if self.steps:
            self.steps[-1][part] += now - self.last
        self.last = now

    def timed(self, prepare: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``prepare`` with its time counted towards the views."""

        def run(*arguments: Any, **options: Any) -> Any:
            self.mark("optimizer and handlers")
            prepared = prepare(*arguments, **options)
            self.mark("views")
            return prepared

        return run


def backward_of_loss(loss: torch.nn.Module, rows: int, width: int) -> float:
    """Seconds of the loss's own backward, which the clock counts as the network's."""
    embeddings, labels = torch.randn(rows, width, requires_grad=True), torch.arange(rows) % 13
    times = []
    for _ in range(9):
        value = loss(embeddings, labels)
        start = time.perf_counter()
        value.backward()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def steps(cohort: str, overrides: Mapping[str, Any], count: int) -> dict[str, float]:
    """Median seconds of each part over ``count`` steps of pretrain.yaml, after two to warm up."""
    parser = ConfigParser()
    parser.read_config(CONFIG)
    with tempfile.TemporaryDirectory() as output:
        numbers = {"dataset_dir": cohort, "attention_dir": f"{cohort}/labels", "output_dir": output}
        cpu = {"device": "$torch.device('cpu')"}  # which runs what it is given at once
        parser.update({**numbers, **cpu, "max_epochs": 1, "epoch_length": count + 3, **overrides})
        trainer = parser.get_parsed_content("train#trainer")
        clock = Clock(trainer)
        trainer.run()
    timed = clock.steps[2:-1]  # the last ends with writing weights
    medians = {part: statistics.median(step[part] for step in timed) for part in PARTS}
    network = parser.get_parsed_content("network_def")
    views = 2 * len(next(iter(parser.get_parsed_content("train#sampler"))))
    rows = len(parser.get_parsed_content("pool").labels(torch.zeros(views)))
    own = backward_of_loss(parser.get_parsed_content("train#loss"), rows, network.head.project[-1].out_features)
    return {**medians, "network": medians["network"] - own, "loss": medians["loss"] + own}


def report(cases: Mapping[str, tuple[dict[str, Any], int, list[dict[str, Any]]]] = CASES, rounds: int = ROUNDS) -> str:
    """The section of the results."""
    rows, switched = [], []
    with tempfile.TemporaryDirectory() as folder, threads(THREADS):
        cohort = str(Path(folder) / "cohort")
        phantom(cohort, cases=8, seed=0)
        for name, (overrides, count, switches) in cases.items():
            taken = [[steps(cohort, {**overrides, **switch}, count) for switch in switches] for _ in range(rounds)]
            usual = {part: statistics.median(each[0][part] for each in taken) for part in PARTS}
            total = sum(usual.values())
            shares = [f"{usual[part] / total:.1%}" for part in PARTS]
            rows.append([name, f"{total * 1e3:.0f}", *shares, f"{1 - usual['network'] / total:.1%}"])
            for number, switch in enumerate(switches):
                seconds = [sum(each[number].values()) for each in taken]
                ratios = [one / sum(each[0].values()) for one, each in zip(seconds, taken, strict=True)]
                label = ", ".join(f"{key}: {str(value).lower()}" for key, value in switch.items()) or "as configured"
                median, ratio = statistics.median(seconds), statistics.median(ratios)
                switched.append([name, label, f"{median * 1e3:.0f}", f"{ratio:.2f}"])
    text = f"pretrain.yaml on the phantom cohort, {THREADS} threads, two views of each query"
    return "\n\n".join(
        [
            "## Pretraining step",
            f"{text}; medians of {rounds} rounds, in each of which the runs with and without switches take turns.",
            table(["", "ms a step", *PARTS, "all but the network"], rows),
            "Switches of bundle/configs/common.yaml.",
            table(["", "", "ms a step", "over as configured"], switched),
        ]
    )
