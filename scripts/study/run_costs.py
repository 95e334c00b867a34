"""What the runs of a strategy cost, as their stages noted it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ..sidefiles import shown_note
from .pipeline import Pipelines
from .plan import Run
from .step import Step


def cost_of(name: str, runs: Sequence[Run], pipelines: Pipelines) -> dict[str, Any]:
    """Training and inference, in device seconds, of the runs of a strategy, and what they processed."""
    line: dict[str, float] = defaultdict(float)
    peaks: dict[str, int] = {}
    for run in runs:
        for step in pipelines.steps(run):
            cost, kind = step.cost, "training" if step.counts else "other" if step.optional else "inference"
            line[f"{kind}_seconds"] += cost.get("whole", 0.0) / len(runs)
            if step.counts:
                line["planned_seconds"] += (step.seconds or 0.0) / len(runs)
                line["samples"] += cost.get("samples", 0) / len(runs)
                line["flops"] += _flops(step, run, pipelines) / len(runs)
            note = shown_note(step.manifest)
            for peak, mib in note.get("peak_memory", {}).items():
                peaks[peak] = max(peaks.get(peak, 0), mib)
    return {"strategy": name, **line, **peaks}


def _flops(step: Step, run: Run, pipelines: Pipelines) -> float:
    """Floating-point operations of a step's training."""
    cost = pipelines.cost(run.strategy, step.stage)
    return 0.0 if cost is None else cost.flops * step.cost.get("steps", 0)
