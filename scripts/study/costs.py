"""What each stage costs, measured once, alone, by short runs, before the lengths of stages are fitted to the budget."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from ..cohort.attention import attention_path, write_label_map
from ..cohort.case import Case
from ..cohort.volume import read, read_label
from ..errors import SemclError
from ..files import write_text
from ..job.lock import Locks
from ..sidefiles import read_note
from .budget import Cost
from .machine import machine
from .pipeline import READS_VOLUMES, TEACHERS, cost_key
from .plan import Plan
from .splits import write_datalist
from .stage_shares import SELF_TRAINING, teacher
from .step import Step
from .strategy import Strategy

COUNTS = (2, 200)  # of scans that short runs read where a cost grows with a cohort: up to many, since some work is done
# for a limited number
QUERIED = 12  # that the others read, whose query store is a stage of its own
PROBE_LENGTHS = {"max_epochs": 2, "epoch_length": 8}  # of the short runs: the first epoch warms up, the second is timed
AS_IF_LONG = {"deformed_from": 0}  # a run's own length decides whether it deforms slices, and such steps take longer
EARLIER = ("encoder_weights", "decoder_weights", "initial_weights", "pseudo_dir")  # what earlier stages leave
AGAIN = "remove it, and the costs are measured again"


def measure_costs(plan: Plan, run: Callable[[Step], None]) -> dict[str, Cost]:
    """The cost of every stage of every strategy, those known from before read from the study's folder.

    The short runs see the label maps that a run may see. These maps are their attention maps too: a network that was
    hardly trained finds no organ. Runs of other shards wait meanwhile.

    Args:
        plan: the study.
        run: runs a step, and returns when it has completed.

    Raises:
        SemclError: when some were measured on another machine, and others are still to be measured.
    """
    folder = plan.out / "costs"
    with Locks(folder).one_at_a_time("costs"):
        probe, wanted = _Probe(plan, folder), _wanted(plan)
        if not all((folder / f"{key}.json").is_file() for key in wanted):
            require_machine(plan)
        return {key: probe.cost(strategy, stage, key, run) for key, (strategy, stage) in wanted.items()}


def require_machine(plan: Plan) -> None:
    """Refuse to go on with costs of another machine, by which strategies would no longer cost the same.

    Raises:
        SemclError: naming both machines.
    """
    now = machine()
    for path in (plan.out / "costs" / f"{key}.json" for key in _wanted(plan)):
        before = read_note(path, "the cost of a stage", AGAIN).get("machine") if path.is_file() else now
        if before != now:
            raise SemclError(
                "what the steps of this study cost was measured on another machine",
                found=f"{before} in {path}, and this is {now}",
                expected="machines of one kind: from the costs follows how many steps are within the budget",
                remedy=f"run it on {before}, start another study with --out, or remove {path.parent}: the costs are "
                "then measured again, and every run is trained anew",
            )


def _wanted(plan: Plan) -> dict[str, tuple[Strategy, str]]:
    """Key -> strategy and stage, of all stages that spend the budget, each once; the store before those it serves."""
    found: dict[str, tuple[Strategy, str]] = {}
    for strategy in plan.strategies:
        stages = [stage for stage in plan.stages(strategy) if stage in strategy.stages]
        if {"pretrain", "train"} & set(stages):
            stages = ["store", *stages]
        if SELF_TRAINING in stages:
            stages.append(teacher(stages))
        for stage in stages:
            found.setdefault(cost_key(plan, strategy, stage), (strategy, stage))
    return found


class _Probe:
    """Short runs of stages on a few scans.

    Args:
        plan: the study.
        folder: of the short runs and of what they showed.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder

    def cost(self, strategy: Strategy, stage: str, key: str, run: Callable[[Step], None]) -> Cost:
        """The cost of a stage, from before or from a short run."""
        path = self.folder / f"{key}.json"
        if not path.is_file():
            print(f"study: measuring what {stage} of {strategy.name} costs", file=sys.stderr, flush=True)
            seen = [self._seen(strategy, stage, key, count, run) for count in _counts(stage)]
            cost = _cost(seen)
            write_text(path, json.dumps({**asdict(cost), "machine": machine()}, indent=1))
        known = read_note(path, "the cost of a stage", AGAIN)
        known.pop("machine", None)
        return Cost(**known)

    def _seen(
        self, strategy: Strategy, stage: str, key: str, count: int, run: Callable[[Step], None]
    ) -> tuple[int, Mapping[str, float]]:
        """How many scans a short run of a stage read, and what it noted."""
        cases = self._scans(count)
        step = self._step(strategy, stage, f"{key} {count}", count)
        if stage in TEACHERS:
            trained = "train" if "train" in strategy.stages else "segment"
            most = _counts(trained)[-1]
            self._scans(most)
            before = self._step(strategy, trained, f"{cost_key(self.plan, strategy, trained)} {most}", most)
            self._anew(before, run)
            step = replace(step, overrides={**step.overrides, "ckpt_dir": str(before.folder / "models")})
        self._anew(step, run)
        return len(cases), step.cost

    def _anew(self, step: Step, run: Callable[[Step], None]) -> None:
        """Run a step that has not completed, without what an interrupted run of it has noted."""
        if not step.completed:
            shutil.rmtree(step.folder, ignore_errors=True)
        run(step)

    def _dataset_dir(self, count: int) -> Path:
        return self.folder / f"{count} scans"

    def _scans(self, count: int) -> list[Case]:
        """A few scans of a run with the fewest label maps, in two folds, with attention maps; written once.

        So scans without one are among them where a run has such: a plain network predicts these, which costs more than
        reading a label map. Those of other patients come before a second scan of one, so that there are two folds.
        """
        folder = self._dataset_dir(count)
        plan, split = self.plan, next(iter(self.plan.splits))
        drawn = [plan.members(split, cell.labels, 0) for cell in plan.cells]
        fewest = min(drawn, key=lambda cases: sum(case.label is not None for case in cases))
        training = [case for case in fewest if case.fold is not None]
        scans: dict[tuple[str, bool], list[str]] = {}
        for case in training:
            scans.setdefault((case.patient, case.label is None), []).append(case.id)
        order = {name: number for names in scans.values() for number, name in enumerate(names)}
        chosen = sorted(training, key=lambda case: (case.label is None, order[case.id]))[:count]
        patients = list(dict.fromkeys(case.patient for case in chosen))
        cases = [replace(case, fold=patients.index(case.patient) % 2) for case in chosen]
        if not (folder / "datalist.json").is_file():
            self._write_attention(cases, folder / "attention")
            write_datalist(cases, folder, plan.table, plan.cases, plan.modality)
        return cases

    def _write_attention(self, cases: Sequence[Case], folder: Path) -> None:
        """Write label maps as attention maps; that of the first case, stretched, for those without one."""
        table, first = self.plan.table, torch.empty(0)
        for case in cases:
            image = read(case.image, case.id, self._channels())
            if case.label is not None:
                objects = torch.from_numpy(read_label(case, image, table))
                first = first if len(first) else objects
            else:
                objects = functional.interpolate(first[None, None].float(), image.shape[1:])[0, 0].to(first.dtype)
            write_label_map(attention_path(folder, case.id), objects, image, table)

    def _channels(self) -> int:
        number = self.plan.numbers.get("image_channels", self.plan.keys_of.contents["common"]["image_channels"])
        return int(number)

    def _step(self, strategy: Strategy, stage: str, name: str, count: int) -> Step:
        keys_of, numbers = self.plan.keys_of, self.plan.numbers_of(strategy, stage)
        dataset_dir = self._dataset_dir(count)
        given: dict[str, Any] = {
            "bundle_root": str(keys_of.folder.parent),
            "dataset_dir": str(dataset_dir),
            "output_dir": str(self.folder / name),
        }
        read = keys_of.read_by(stage)
        if stage not in ("coarse", strategy.coarse_stage, SELF_TRAINING) and "attention_dir" in read:
            given["attention_dir"] = str(dataset_dir / "attention")
        if stage == "coarse" and self.plan.least < 2 and numbers.get("labelled_maps") != "simulated":
            given["labelled_maps"] = "none"  # a single patient cannot be held out
        if stage in TEACHERS:
            given["cases"] = "$scripts.load_cases(@dataset_dir, 'training')[:@shared.pseudo_cases]"  # labelled or not
        if "max_epochs" in read:
            given |= PROBE_LENGTHS | keys_of.unvalidated(stage)
        given |= {name: value for name, value in AS_IF_LONG.items() if name in read}
        given |= {name: None for name in EARLIER if name in read}
        return Step(
            stage=keys_of.base(stage),
            key=name,
            folder=self.folder / name,
            files=keys_of.files(stage),
            overrides={**numbers, **given},
        )


def _counts(stage: str) -> tuple[int, ...]:
    """How many scans the short runs of a stage read: two numbers where its cost grows with the cohort."""
    return COUNTS if stage in READS_VOLUMES else (QUERIED,)


def _overhead(seen: Mapping[str, float]) -> float:
    """Seconds of a short run beside its training."""
    return seen["whole"] - seen.get("training", 0)


def _cost(runs: Sequence[tuple[int, Mapping[str, float]]]) -> Cost:
    """The cost that one or two short runs showed, each with the number of scans it read."""
    cases, seen = runs[-1]
    steps, fixed = seen.get("steps", 0), _overhead(seen)
    fewer, before = runs[0]
    more = fixed - _overhead(before)
    case = max(more / (cases - fewer), 0.0) if cases > fewer else 0.0
    return Cost(
        step=seen.get("step", 0.0),
        fixed=max(fixed - case * cases, 0.0),
        case=case,
        epoch=seen.get("epoch", 0.0),
        samples=seen.get("samples", 0) / steps if steps else 0.0,
        flops=seen.get("flops", 0),
    )
