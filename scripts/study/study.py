"""A study from its plan to its report."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..cohort.attention import require_attention
from ..cohort.case import Case, input_files
from ..cohort.datalist import load, stated_modality
from ..cohort.label_table import LabelTable
from ..cohort.provenance import NOTES
from ..errors import SemclError, one_of
from ..files import write_text
from ..job.lock import Locks
from ..job.shard import Shard
from ..outputs import Output
from ..sidefiles import read_note
from .contrasts import Contrast
from .costs import measure_costs, require_machine
from .design import Design, parse_contrasts
from .pipeline import Pipelines
from .plan import Plan
from .runner import Runner, drop_stores, listen
from .splits import split_cases
from .stage_keys import StageKeys
from .strategy import FLOOR, STRATEGIES, Strategy, find_strategies, refuse_own, shipped_files
from .sweep import swept
from .tasks import runs_of_shard, tasks_of

PROTOCOL = "study.json"  # what a study was started with


def usual_workers() -> int:
    """One process per GPU, or per core without GPUs."""
    return torch.cuda.device_count() or os.cpu_count() or 1


@dataclass(frozen=True)
class Study:
    """A study of a cohort.

    Args:
        dataset_dir: the cohort.
        bundle_root: the bundle's folder.
        out: the study's folder; an earlier study there is resumed.
        design: what is compared.
        sweep: "key=value,value": every strategy once for every value.
        attention_dir: folder of attention maps made elsewhere; None: a run's own network makes them.
        tolerance: of NSD, mm, for organs without one in the label table.
        workers: how many processes run at once.
        share: "i/n", the part of the runs that is done here; None for all.
    """

    dataset_dir: Path
    bundle_root: Path
    out: Path
    design: Design
    sweep: str | None
    attention_dir: Path | None
    tolerance: float
    workers: int
    share: Shard | None

    def run(self) -> None:
        """Run what is not done; once all is, compare and report.

        Raises:
            SemclError: for an invalid strategy, split or number, a budget that is too small, a study that was started
                with other numbers, or runs that failed.
        """
        plan = self.plan()
        self._note_protocol(plan)
        plan.write_datalists()
        listen()
        runner = Runner(plan.keys_of.folder.parent, self.workers, self.tolerance)
        try:
            costs = measure_costs(plan, runner.measure) if self.design.budget else None
            pipelines = Pipelines(plan, costs)
            runs = plan.runs()
            tasks = tasks_of(runs, pipelines)
            own = tasks if self.share is None else tasks_of(runs_of_shard(runs, self.share), pipelines)
            if costs and not all(task.completed for task in own):
                require_machine(plan)
            try:
                runner.run(own)
            finally:
                drop_stores(tasks)
        finally:
            runner.stop()
        if left := sum(not task.completed for task in tasks):
            print(f"study: {len(tasks) - left} of {len(tasks)} tasks are done; the report is made when all are")
            return
        self.report(plan, pipelines)

    def plan(self) -> Plan:
        """The plan, with its configs checked; nothing is run or written."""
        if self.design.seeds < 1 or self.workers < 1:
            raise SemclError(
                "a study needs at least one seed and one worker",
                found=f"--seeds {self.design.seeds}, --workers {self.workers}",
                expected="1 or more",
                remedy="set them",
            )
        keys_of, budget = StageKeys(self.bundle_root.resolve()), bool(self.design.budget)
        strategies = find_strategies(self.design.strategies, keys_of, budget)
        if self.sweep is not None:
            strategies = swept(strategies, self.sweep, keys_of, budget)
        numbers = self.design.all_numbers(keys_of.folder)
        refuse_own(numbers, "the preset or overlays", keys_of, budget=False)
        cases, table = load(self.dataset_dir), LabelTable.load(self.dataset_dir)
        plan = Plan(
            out=self.out.resolve(),
            keys_of=keys_of,
            strategies=tuple(strategies),
            splits=split_cases(cases, self.design.folds),
            cases=cases,
            table=table,
            cells=self.design.cells,
            seeds=self.design.seeds,
            numbers=numbers,
            attention_dir=self._attention(cases, strategies),
            tolerance=self.tolerance,
            modality=stated_modality(self.dataset_dir),
            embeddings=self.design.embeddings,
        )
        if self.design.baseline != "scratch":
            one_of("--baseline", self.design.baseline, [FLOOR] * plan.has_floor + [one.name for one in strategies])
        plan.check()
        Output(plan.out, "a study", "--out").claim(input_files(cases))
        return plan

    def _attention(self, cases: Sequence[Case], strategies: Sequence[Strategy]) -> Path | None:
        """The folder of attention maps made elsewhere.

        Raises:
            SemclError: for maps of a network that has learnt from this cohort's labels, which would bring all labels
                into every run; for a strategy that is nothing but the coarse network.
        """
        if self.attention_dir is None:
            return None
        alone = [strategy.name for strategy in strategies if list(strategy.stages) == ["coarse"]]
        if alone:
            raise SemclError(
                f"strategy {alone[0]} trains nothing but a coarse network, and the attention maps are given",
                found=f"--strategies with {alone[0]}, --attention_dir {self.attention_dir}",
                expected="strategies that refine the maps, or that need none",
                remedy=f"leave out {alone[0]}: the maps themselves are measured as {FLOOR!r}",
            )
        noted = [name for name in NOTES if (self.attention_dir / name).is_file()]
        if noted:
            raise SemclError(
                "these attention maps have learnt from the cohort's own label maps",
                found=f"maps that a stage wrote, as {self.attention_dir / noted[0]} says",
                expected="maps made without this cohort's label maps, such as TotalSegmentator's",
                remedy="leave out --attention_dir: each run then trains its coarse network on the labels it may use",
            )
        require_attention(cases, self.attention_dir.resolve())
        return self.attention_dir.resolve()

    def _note_protocol(self, plan: Plan) -> None:
        """Note what the study is started with, and refuse another start in the same folder.

        Raises:
            SemclError: naming the strategy, or the data, that has changed.
        """
        path = plan.out / PROTOCOL
        names = [strategy.name for strategy in plan.strategies]
        now: dict[str, Any] = {
            "contrasts": [contrast.name for contrast in self._contrasts(plan)],
            "tables": [cell.name for cell in plan.cells],
            "equivalence": self.design.equivalence,
            "tolerance": self.tolerance,
            "strategies": {strategy.name: plan.settings(strategy) for strategy in plan.strategies},
            "data": {
                f"{split}, {cell.labels.name}, seed {seed}": plan.data(split, cell.labels, seed)
                for split in plan.splits
                for cell in plan.cells
                for seed in range(plan.seeds)
            },
        }
        with Locks(plan.out).one_at_a_time("study"):
            before: Mapping[str, Any] = {}
            if path.is_file():
                before = read_note(path, "what a study was started with", "start another study with --out")
            if before.get("tolerance", self.tolerance) != self.tolerance:
                raise SemclError(
                    "the study was started with another tolerance of NSD",
                    found=f"--tolerance {self.tolerance:g}, {before['tolerance']:g} in {path}",
                    expected="the same, since runs that are done are not measured again",
                    remedy=f"set --tolerance {before['tolerance']:g}, or start another study with --out",
                )
            for contrast in map(Contrast.named, before.get("contrasts", ())):
                left_out = sorted({contrast.first, *contrast.second} - {*names, FLOOR})
                if left_out:
                    raise SemclError(
                        "a strategy is left out whose comparison was named before the run",
                        found=f"no {left_out[0]}, which {contrast.name} in {path} needs",
                        expected="all that was named, since it is corrected together",
                        remedy=f"add {left_out[0]} to --strategies, or start another study with --out",
                    )
            for part in ("strategies", "data"):
                for name, settings in now[part].items():
                    known = before.get(part, {}).get(name, settings)
                    if known != settings:
                        raise _changed(part, name, known, settings, path)
            if before:
                now |= {key: before[key] for key in ("contrasts", "equivalence") if key in before}
                now |= {part: {**before.get(part, {}), **now[part]} for part in ("strategies", "data")}
                now["tables"] = list(dict.fromkeys([*before.get("tables", ()), *now["tables"]]))
            write_text(path, json.dumps(now, indent=1))

    def _contrasts(self, plan: Plan) -> list[Contrast]:
        """The contrasts of the design."""
        names, shipped = [one.name for one in plan.strategies], list(shipped_files(plan.keys_of.folder / STRATEGIES))
        return parse_contrasts(self.design.contrasts, names, shipped, plan.has_floor)

    def report(self, plan: Plan, pipelines: Pipelines) -> None:
        """Compare the strategies and write the report."""
        from .report import StudyReport  # figures need packages of the report extra
        from .results import Results

        started = read_note(plan.out / PROTOCOL, "what a study was started with", "run the study again")
        named = [Contrast.named(name) for name in started["contrasts"]]
        design = replace(self.design, equivalence=started.get("equivalence", self.design.equivalence))
        results, cohort = Results(plan, pipelines), self.dataset_dir.resolve().name
        StudyReport(results, cohort, design, named, started.get("tables", ())).write()


def _changed(part: str, name: str, before: Any, now: Any, path: Path) -> SemclError:
    if part == "data":
        return SemclError(
            "the cohort has changed since the study was started",
            found=f"other cases, label maps or label table for {name} than in {path}",
            expected="the cohort the study was started with",
            remedy="undo the change, or start another study with --out",
        )
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return SemclError(
        f"strategy {name} was started with other numbers",
        found=f"{', '.join(keys)} changed since {path}",
        expected="the configs, overlays and version the study was started with",
        remedy="undo the change, give the changed strategy another name, or start another study with --out",
    )
