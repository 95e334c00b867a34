"""Tasks of a study, which run one after the other or side by side, and the part of the runs that a shard has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..job.shard import Shard
from .pipeline import Pipelines
from .plan import Run
from .runner import Task
from .step import Step


def tasks_of(runs: Sequence[Run], pipelines: Pipelines) -> list[Task]:
    """The tasks of runs: a coarse network, which several strategies share, is one; the rest of a run is another."""
    found: dict[Step, Task] = {}
    for run in runs:
        steps = pipelines.steps(run)
        last = max((number for number, step in enumerate(steps, start=1) if step.makes_maps), default=0)
        coarse, rest = steps[:last], steps[last:]
        for part in filter(None, (coarse, rest)):
            title = (
                f"coarse network, {run.cell.name}, split {run.split}, seed {run.seed}" if part is coarse else run.title
            )
            found.setdefault(part[-1], Task(title, tuple(part)))
    return list(found.values())


def runs_of_shard(runs: Sequence[Run], shard: Shard) -> list[Run]:
    """The runs of a shard: all strategies of a split, amount of labels and seed together, since they share steps."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.split, run.cell.labels, run.seed), []).append(run)
    return [run for group in shard.of_list(list(groups.values())) for run in group]
