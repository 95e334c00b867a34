"""A study from its first unit to its report."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from ..cohort.attention import attention_path
from ..cohort.datalist import load
from ..cohort.labels import LabelTable
from ..errors import SemclError
from ..evaluate.report import template
from ..evaluate.rows import Row, measure, write_rows
from ..evaluate.statistics import ALL, LEVEL
from ..files import write_text
from ..version import __version__
from .figures import strategies_figure
from .plan import Plan, cells, shard, write_splits
from .results import Results, read_rows
from .runner import Runner, listen
from .strategy import FLOOR, find, swept
from .tables import Table, as_csv, organ_lines, share_of_runs


def usual_workers() -> int:
    """One process a GPU, or one a core."""
    return torch.cuda.device_count() or os.cpu_count() or 1


@dataclass(frozen=True)
class Study:
    """What is compared with what, on whom.

    Args:
        dataset_dir: the cohort, with attention maps of all its cases (``coarse.yaml`` makes them, by cross-fitting).
        bundle_root: the bundle.
        out: folder of the study; an earlier study there goes on.
        strategies: names of overlays in configs/strategies, or paths of others.
        seeds: training runs of each strategy.
        folds: parts of the labelled patients, each tested once; 0 for the cohort's own testing cases.
        protocols: of "frozen" and "tuned".
        labels: shares of the labelled patients the decoder learns from.
        overlays: config files given to all stages.
        sweep: "key=value,value": every strategy once a value.
        attention_dir: the attention maps; None for those of the cohort.
        tolerance: mm, of NSD where the label table gives an organ none.
        workers: processes at once.
        share: "i/n", the part of the units that is run here; None for all.
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

    def run(self) -> None:
        """Run what is not done yet; when all of the study is, compare and report.

        Raises:
            SemclError: for a strategy, split or number that is none, missing attention maps, cells run with other
                numbers, or units that failed.
        """
        plan, table = self.plan()
        units = plan.units()
        own = shard(units, self.share)
        listen()
        shared = {"attention_dir": str(self.attention()), "store_dir": str(plan.out / "store")}
        if self.sweep is None:  # one store for all; each point of a sweep may look at other patches
            self.build_store(plan, shared)
        runner = Runner(plan, shared, self.tolerance, self.workers)
        runner.run(own)
        left = [unit for unit in units if not runner.done(unit)]
        if left:
            print(f"study: {len(units) - len(left)} of {len(units)} units are done; the report is made when all are")
            return
        self.report(plan, table)

    def attention(self) -> Path:
        """Where the attention maps are."""
        return (self.attention_dir or self.dataset_dir / "attention").resolve()

    def plan(self) -> tuple[Plan, LabelTable]:
        """The plan, with its splits written, and the label table."""
        if self.seeds < 1 or self.workers < 1:
            raise SemclError(
                "a study needs a seed and a worker at least",
                found=f"--seeds {self.seeds}, --workers {self.workers}",
                expected="1 or more",
                remedy="set them",
            )
        for overlay in self.overlays:
            if not overlay.is_file():
                raise SemclError("there is no such overlay", found=overlay, expected="a config file", remedy="set it")
        strategies = find(self.strategies, self.bundle_root)
        planned = cells(self.protocols, self.labels)
        if self.sweep is not None:
            strategies = swept(strategies, self.sweep)
        cases, table = load(self.dataset_dir), LabelTable.load(self.dataset_dir)
        missing = [case.case for case in cases if not attention_path(str(self.attention()), case.case).is_file()]
        if missing:
            raise SemclError(
                "attention maps are missing",
                case=missing[0],
                found=f"none of {len(missing)} cases in {self.attention()}",
                expected="one of each case of the cohort",
                remedy="run coarse.yaml on the cohort first: every strategy starts from the same maps",
            )
        splits = write_splits(cases, table, self.out.resolve(), self.folds)
        overlays = tuple(overlay.resolve() for overlay in self.overlays)
        plan = Plan(
            self.out.resolve(), self.bundle_root.resolve(), overlays, tuple(strategies), splits, self.seeds, planned
        )
        return plan, table

    def build_store(self, plan: Plan, shared: dict[str, Any]) -> None:
        """Decode every case once, before units would each begin to."""
        for split in plan.splits.values():
            parser = ConfigParser()
            parser.read_config([str(plan.bundle_root / "configs" / "pretrain.yaml"), *map(str, plan.overlays)])
            parser.update({"bundle_root": str(plan.bundle_root), "dataset_dir": str(split), **shared})
            parser["training_cases"] = "@cases"
            parser.get_parsed_content("store")

    def report(self, plan: Plan, table: LabelTable) -> None:
        """Compare, and write rows.csv, results.csv, summary.json, tables.tex, strategies.svg and report.html."""
        results = Results(
            plan, {name: self.floor(name, plan, table) for name in plan.splits}, table.names, table.phases
        )
        tables = [Table(results, cell) for cell in plan.cells]
        costs, embeddings = results.costs(), results.embeddings()
        figure = strategies_figure(tables)
        claims = self.claims(results, tables)
        write_text(plan.out / "rows.csv", as_csv(results.rows()))
        write_text(plan.out / "results.csv", as_csv(organ_lines(tables)))
        write_text(plan.out / "tables.tex", "\n".join(table.latex() for table in tables))
        write_text(plan.out / "strategies.svg", figure)
        contents = [{"title": table.title, "words": table.in_words(), **table.content()} for table in tables]
        content = {"counts": self.counts(results), "tables": contents, "costs": costs, "embeddings": embeddings}
        write_text(plan.out / "summary.json", json.dumps({**content, "claims": claims}, indent=1))
        page = self.html(results, contents, content, claims, figure)
        write_text(plan.out / "report.html", page)
        for found in contents:
            print(found["words"])
        print(f"report: {plan.out / 'report.html'}")

    def html(
        self,
        results: Results,
        tables: list[dict[str, Any]],
        content: dict[str, Any],
        claims: list[str],
        figure: str,
    ) -> str:
        """The page."""
        from markupsafe import Markup

        embedded = [
            name for name in ("untrained", *results.methods) if any(name in line for line in content["embeddings"])
        ]
        return template("report.html.j2", Path(__file__).parent).render(
            name=self.dataset_dir.resolve().name,
            strategies=[{"name": one.name, "about": one.about} for one in results.plan.strategies],
            methods=results.methods,
            tables=tables,
            counts=content["counts"],
            claims=claims,
            costs=content["costs"],
            embeddings=content["embeddings"],
            embedded=embedded,
            figure=Markup(figure),
            all_organs=ALL,
            version=__version__,
        )

    def counts(self, results: Results) -> str:
        """Who was compared."""
        cases, patients = results.sizes
        split = f"{self.folds} folds, each tested once" if self.folds else "the cohort's own testing cases"
        return f"{cases} cases of {patients} patients ({split}), {self.seeds} training runs of each strategy and split."

    def claims(self, results: Results, tables: Sequence[Table]) -> list[str]:
        """What the numbers can and cannot say, in sentences."""
        lines = [line for table in tables for found in table.against_baseline.values() for line in found[:1]]
        lines += [line for table in tables for line in table.against_next[:1]]
        said = [
            "A difference counts when the bootstrap over seeds and patients says so: it asks whether other training "
            "runs, on other patients like these, would show it too.",
            "Wilcoxon's test run by run, as papers report it, takes the runs that happened to be made as given: it "
            f"calls {share_of_runs(lines, LEVEL):.0%} of the single runs here significant (p < {LEVEL:g}); "
            f"{sum(line.p is not None and line.p < LEVEL for line in lines)} of {len(lines)} differences hold over "
            "seeds and patients.",
        ]
        if self.seeds == 1:
            said.append("With one seed nothing can be said of the luck of training: run more with --seeds.")
        elif self.seeds < 5:
            said.append(
                f"With {self.seeds} seeds the luck of training is known only roughly: take a p just below {LEVEL:g} "
                "as a reason to run more seeds."
            )
        if self.folds:
            said.append("Training sets of folds overlap, so patients of different folds are not quite independent.")
        if any(cell.labelled < 1 for cell in results.plan.cells):
            said.append("Shares of labels are of the decoder's training; the coarse maps come from all of the cohort.")
        return said

    def floor(self, split: str, plan: Plan, table: LabelTable) -> list[Row]:
        """Rows of the coarse maps of a split's testing cases, measured once."""
        path = plan.splits[split] / "coarse.csv"
        if not path.is_file():
            cases = load(plan.splits[split], "testing", need_label=True)
            rows = measure(cases, {FLOOR: self.attention()}, table, self.tolerance)
            write_rows(path, [row for row in rows if row.method == FLOOR])
        return read_rows(path)
