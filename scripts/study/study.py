"""A study from its first unit to its report."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..cohort.attention import require_attention
from ..cohort.case import input_files
from ..cohort.datalist import load
from ..cohort.label_table import LabelTable
from ..cohort.provenance import require_split
from ..errors import SemclError, one_of
from ..evaluate.rows import Row, measure_cases, read_metrics, write_rows
from ..job.shard import Shard
from ..outputs import Output
from .cells import parse_cells
from .plan import Plan, hash_data
from .report import StudyReport
from .results import Results
from .runner import Runner, listen
from .splits import write_splits
from .strategy import FLOOR, find_strategies, read_overlay, refuse_own, swept

BUILD = [
    "$scripts.components.plain_errors()",
    "$@store",
]  # builds the query store alone


def usual_workers() -> int:
    """One process per GPU, or per core without GPUs."""
    return torch.cuda.device_count() or os.cpu_count() or 1


@dataclass(frozen=True)
class Study:
    """A study: which strategies are compared, and on which cohort.

    Args:
        dataset_dir: the cohort, with attention maps of all its cases (``coarse.yaml`` makes them, by cross-fitting).
        bundle_root: the bundle's folder.
        out: the study's folder; an earlier study there is resumed.
        strategies: names of overlays in configs/strategies, or paths of others.
        seeds: training runs of each strategy.
        folds: parts of the labelled patients, each tested once; 0 for the cohort's own testing cases.
        protocols: "frozen", "tuned" or both.
        labels: shares of the labelled patients that the decoder learns from.
        overlays: config files given to all stages.
        sweep: "key=value,value": every strategy once for every value.
        attention_dir: folder of the attention maps; None for the cohort's.
        tolerance: of NSD, mm, for organs without one in the label table.
        workers: how many processes run at once.
        share: "i/n", the part of the units that is run here; None for all.
        baseline: the strategy that all are compared with, by its name in the report, or "coarse"; None for scratch.
    """

    dataset_dir: Path
    bundle_root: Path
    out: Path
    strategies: Sequence[str]
    seeds: int
    folds: int
    protocols: Sequence[str]
    labels: Sequence[str | float]
    overlays: Sequence[Path]
    sweep: str | None
    attention_dir: Path | None
    tolerance: float
    workers: int
    share: str | None
    baseline: str | None

    def run(self) -> None:
        """Run the units that are not done; once all are, compare and report.

        Raises:
            SemclError: for an invalid strategy, split or number, missing attention maps, units run with other numbers,
                or units that failed.
        """
        plan, table = self.plan()
        units = plan.units()
        own = units if self.share is None else Shard.of(self.share).of_list(units)
        runner = Runner(plan, self.workers)
        listen()
        if [unit for unit in own if not runner.done(unit)]:
            self.build_stores(plan)
            runner.run(own)
        left = [unit for unit in units if not runner.done(unit)]
        if left:
            print(f"study: {len(units) - len(left)} of {len(units)} units are done; the report is made when all are")
            return
        self.report(plan, table)

    def plan(self) -> tuple[Plan, LabelTable]:
        """The plan, with its splits written and its configs checked, and the label table."""
        if self.seeds < 1 or self.workers < 1:
            raise SemclError(
                "a study needs at least one seed and one worker",
                found=f"--seeds {self.seeds}, --workers {self.workers}",
                expected="1 or more",
                remedy="set them",
            )
        self._check_overlays()
        strategies = find_strategies(self.strategies, self.bundle_root)
        if self.sweep is not None:
            strategies = swept(strategies, self.sweep, self.bundle_root)
        if self.baseline is not None:
            one_of("--baseline", self.baseline, [FLOOR, *(strategy.name for strategy in strategies)])
        cells = parse_cells(self.protocols, self.labels)
        cases, table = load(self.dataset_dir), LabelTable.load(self.dataset_dir)
        attention, out = (self.attention_dir or self.dataset_dir / "attention").resolve(), self.out.resolve()
        require_attention(cases, attention)
        require_split(str(attention), str(self.dataset_dir), table)
        Output(out, "a study", "--out").claim(input_files(cases), lambda: any((out / "splits").glob("*/datalist.json")))
        splits = write_splits(cases, table, out, self.folds)
        plan = Plan(
            out=out,
            bundle_root=self.bundle_root.resolve(),
            overlays=tuple(overlay.resolve() for overlay in self.overlays),
            strategies=tuple(strategies),
            splits=splits,
            seeds=self.seeds,
            cells=cells,
            attention_dir=attention,
            tolerance=self.tolerance,
            data=hash_data(splits, attention),
        )
        plan.check()
        return plan, table

    def _check_overlays(self) -> None:
        """Refuse overlays that are missing, configs of stages, or set what the study sets itself."""
        remedy = "set --overlay, or --preset to fast, standard or faithful"
        for overlay in self.overlays:
            if not overlay.is_file():
                raise SemclError(
                    "there is no such overlay", found=f"no {overlay}", expected="a config file", remedy=remedy
                )
            content = read_overlay(overlay)
            if "run" in content:
                raise SemclError(
                    f"{overlay} is the config of a stage",
                    found="a key run",
                    expected="an overlay: values that replace those of the stages",
                    remedy=remedy,
                )
            refuse_own([key for key in content if key != "freeze_encoder"], str(overlay))  # --protocols replaces it

    def build_stores(self, plan: Plan) -> None:
        """Decode every case once, before each unit would; units check that the stores are up to date.

        Raises:
            SemclError: when that fails; the cause has been printed.
        """
        cases = load(self.dataset_dir)
        for store, strategy in {plan.store(strategy): strategy for strategy in plan.strategies}.items():
            if all((store / case.id / "case.json").is_file() for case in cases):
                continue
            files = [plan.bundle_root / "configs" / "pretrain.yaml", *plan.overlays, strategy.overlay]
            given = {
                "dataset_dir": self.dataset_dir.resolve(),
                "attention_dir": plan.attention_dir,
                "store_dir": store,
                "training_cases": "@cases",
                "run": BUILD,
                **strategy.overrides_of("pretrain"),
            }
            command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(list(map(str, files)))]
            command += [word for key, value in given.items() for word in (f"--{key}", str(value))]
            environment = os.environ | {"PYTHONWARNINGS": "ignore"}
            done = subprocess.run(
                command, cwd=plan.bundle_root, env=environment, stdout=subprocess.DEVNULL, check=False
            )
            if done.returncode:
                raise SemclError(
                    "the query store cannot be built",
                    found="the error above",
                    expected=f"the cases of {self.dataset_dir} in {store}",
                    remedy="fix the cause and run the study again",
                )

    def report(self, plan: Plan, table: LabelTable) -> None:
        """Compare the strategies and write the report."""
        floor = {split: self.floor(split, plan, table) for split in plan.splits}
        results = Results(plan, floor, table.names, table.phases)
        StudyReport(results, self.dataset_dir.resolve().name, self.folds, self.baseline).write()

    def floor(self, split: str, plan: Plan, table: LabelTable) -> list[Row]:
        """The rows of the coarse maps of a split's testing cases, measured once."""
        path = plan.splits[split] / f"coarse.{plan.data[split]}.{self.tolerance:g}mm.csv"
        if not path.is_file():
            cases = load(plan.splits[split], "testing", need_label=True)
            rows = measure_cases(cases, {FLOOR: plan.attention_dir}, table, self.tolerance)
            write_rows(path, [row for row in rows if row.method == FLOOR])
        return read_metrics(path)
