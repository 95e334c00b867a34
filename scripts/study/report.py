"""The report of a study: tables, claims, cost and embeddings, as a page, CSV, LaTeX, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..evaluate.report import template
from ..evaluate.statistics import ALL
from ..files import write_text
from ..printable import counted
from ..version import __version__
from .comparisons import FEW_SEEDS, compare_contrasts
from .contrasts import Contrast
from .design import Design, parse_contrasts
from .figures import budgets_figure, contrasts_figure, strategies_figure
from .markdown import embedded, markdown
from .results import Results
from .strategy import FLOOR, STRATEGIES, shipped_files
from .tables import Table, csv_text, limits, organ_rows


class StudyReport:
    """The results of a study, written into its folder.

    Args:
        results: the results of all runs.
        name: the cohort's name.
        design: of the study.
        named: the contrasts that were named before the run.
        started: names of the tables that the study was started with.
    """

    def __init__(
        self, results: Results, name: str, design: Design, named: Sequence[Contrast], started: Sequence[str] = ()
    ) -> None:
        self.results, self.name, self.design = results, name, design
        self.missing = [table for table in started if table not in {cell.name for cell in results.plan.cells}]
        arms = results.methods
        self.baseline = design.baseline if design.baseline in arms else arms[0]
        others = [Contrast(arm, (self.baseline,)) for arm in arms if arm != self.baseline]
        shipped = list(shipped_files(results.plan.keys_of.folder / STRATEGIES))
        later = parse_contrasts(design.contrasts, arms, shipped, FLOOR in arms)
        measured = [results.measured(cell) for cell in results.plan.cells]
        found = compare_contrasts(measured, list(named), [*later, *others], design.equivalence, len(self.missing))
        self.differences = [one for one in found if one.named]
        self.tables = [
            Table(
                results,
                cell,
                [one for one in self.differences if one.table == cell.name],
                [one for one in found if not one.named and one.table == cell.name],
            )
            for cell in results.plan.cells
        ]

    def write(self) -> None:
        """Write the tables (CSV, LaTeX, Markdown), summary.json, figures and report.html; print the results."""
        out, content = self.results.plan.out, self.content()
        figures = {"strategies": strategies_figure(self.tables)}
        if self.differences:
            figures["contrasts"] = contrasts_figure(self.differences, self.design.equivalence)
        if len({table.cell.budget for table in self.tables}) > 1:
            figures["budgets"] = budgets_figure(self.tables)
        write_text(out / "rows.csv", csv_text(self.results.rows()))
        write_text(out / "results.csv", csv_text(organ_rows(self.tables)))
        write_text(out / "tables.tex", "\n".join(table.latex() for table in self.tables))
        write_text(out / "tables.md", markdown(content, self.name))
        for name, figure in figures.items():
            write_text(out / f"{name}.svg", figure)
        write_text(out / "summary.json", json.dumps(content, indent=1))
        write_text(out / "report.html", self.html(content, figures))
        for table in content["tables"]:
            print(f"{table['title']}: {' '.join(table['words'])}")
        print(f"report: {out / 'report.html'}")

    def content(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "counts": self.counts(),
            "methods": list(self.results.methods),
            "baseline": self.baseline,
            "equivalence": self.design.equivalence,
            "tables": [table.content() for table in self.tables],
            "limits": limits(self.tables),
            "claims": self.claims(),
            "embeddings": self.results.embeddings(),
        }

    def html(self, content: dict[str, Any], figures: dict[str, str]) -> str:
        """The page as HTML."""
        strategies = [{"name": each.name, "about": each.about} for each in self.results.plan.strategies]
        return template("report.html.j2", Path(__file__).parent).render(
            **content,
            name=self.name,
            strategies=strategies,
            embedded=embedded(content["embeddings"], self.results.methods),
            figures={name: Markup(figure) for name, figure in figures.items()},
            floor=FLOOR,
            all_organs=ALL,
            version=__version__,
        )

    def counts(self) -> str:
        """What was compared: cases, patients, splits and runs."""
        (cases, patients), seeds, folds = self.results.sizes, self.results.plan.seeds, self.design.folds
        split = f"{folds} folds, each tested once" if folds else "the cohort's own testing cases"
        sizes = f"{counted(cases, 'case')} of {counted(patients, 'patient')}"
        return f"{sizes} ({split}), {counted(seeds, 'run')} of each strategy and split."

    def claims(self) -> list[str]:
        """What the numbers can and cannot say, in sentences."""
        seeds, width = self.results.plan.seeds, self.design.equivalence
        named = ", ".join(dict.fromkeys(one.contrast.name for one in self.differences)) or "none"
        sentences = [
            f"Named before the run, and corrected together over all tables (Holm): {named}. All other comparisons are "
            "exploratory: they suggest what to test next, on other patients.",
            f"Differences within {width:g} Dice count as equivalent. Error terms are pooled over strategies that vary "
            "alike; runs and patients are both random: would other runs, on other patients like these, show it too?",
            "Every run sees the label maps of its own patients alone, in every stage, the coarse network's included; "
            "its seed draws them.",
        ]
        if self.missing:
            sentences.append(
                f"The study was started with {counted(len(self.missing), 'table')} more ({'; '.join(self.missing)}), "
                "whose named comparisons count in the correction as if they had found nothing."
            )
        found = [one.tested.detectable for one in self.differences if one.tested]
        tested = [one for one in found if one > 0]  # two strategies that are the same network never differ
        if tested:
            sentences.append(
                f"Differences from {min(tested):.3f} to {max(tested):.3f} Dice, depending on the table, are the "
                "smallest that this study would have found with a chance of 80 %."
            )
        if seeds < 2:
            sentences.append("With one run the variation between runs is unknown: run more with --seeds.")
        elif seeds < FEW_SEEDS:
            sentences.append(f"With fewer than {FEW_SEEDS} runs no p below 0.01 is reported.")
        if self.design.folds:
            sentences.append("Patients of one fold share their networks, so folds count, not patients.")
        if self.design.budget:
            sentences.append(
                "Budgets are training seconds of a device: steps were fixed from the cost of a step, measured once; "
                "inference is not part of them."
            )
        if len(self.results.refiners) > 1:
            first, *others = (", ".join(names) for names in self.results.refiners)
            sentences.append(
                f"The {FLOOR} is that of {first}. Other coarse networks, whose maps are not shown, begin "
                f"{'; '.join(others)}; strategies that begin with one coarse network are a family."
            )
        for why, count in self.results.left_out().items():
            sentences.append(f"Left out in {counted(count, 'run')} that could do without it: {why}.")
        return sentences
