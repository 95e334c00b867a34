"""The report of a study: tables, claims, cost and embeddings, as a page, CSV, LaTeX, Markdown and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..evaluate.report import template
from ..evaluate.statistics import ALL, LEVEL
from ..files import write_text
from ..version import __version__
from .figures import strategies_figure
from .markdown import embedded, markdown
from .results import Results
from .tables import Table, csv_text, organ_rows, share_of_runs


class StudyReport:
    """The results of a study, written into its folder.

    Args:
        results: the results of all units.
        name: the cohort's name.
        folds: how many there are, 0 for the cohort's own testing cases.
        baseline: what all strategies are compared with, as in ``Table``.
    """

    def __init__(self, results: Results, name: str, folds: int, baseline: str | None = None) -> None:
        self.results, self.name, self.folds = results, name, folds
        self.tables = [Table(results, cell, baseline) for cell in results.plan.cells]

    def write(self) -> None:
        """Write the tables (CSV, LaTeX, Markdown), summary.json, strategies.svg and report.html; print the results."""
        out, figure, content = self.results.plan.out, strategies_figure(self.tables), self.content()
        write_text(out / "rows.csv", csv_text(self.results.rows()))
        write_text(out / "results.csv", csv_text(organ_rows(self.tables)))
        write_text(out / "tables.tex", "\n".join(table.latex() for table in self.tables))
        write_text(out / "tables.md", markdown(content, self.results.methods, self.name))
        write_text(out / "strategies.svg", figure)
        write_text(out / "summary.json", json.dumps(content, indent=1))
        write_text(out / "report.html", self.html(content, figure))
        for table in content["tables"]:
            print(table["words"])
        print(f"report: {out / 'report.html'}")

    def content(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "counts": self.counts(),
            "tables": [table.content() for table in self.tables],
            "claims": self.claims(),
            "costs": self.results.costs(),
            "embeddings": self.results.embeddings(),
        }

    def html(self, content: dict[str, Any], figure: str) -> str:
        """The page as HTML."""
        methods = self.results.methods
        return template("report.html.j2", Path(__file__).parent).render(
            **content,
            name=self.name,
            strategies=[{"name": each.name, "about": each.about} for each in self.results.plan.strategies],
            methods=methods,
            embedded=embedded(content["embeddings"], methods),
            figure=Markup(figure),
            all_organs=ALL,
            version=__version__,
        )

    def counts(self) -> str:
        """What was compared: cases, patients, splits and training runs."""
        (cases, patients), seeds = self.results.sizes, self.results.plan.seeds
        split = f"{self.folds} folds, each tested once" if self.folds else "the cohort's own testing cases"
        runs = "1 training run" if seeds == 1 else f"{seeds} training runs"
        return f"{cases} cases of {patients} patients ({split}), {runs} of each strategy and split."

    def claims(self) -> list[str]:
        """What the numbers can and cannot say, in sentences."""
        lines, seeds = [line for table in self.tables for line in table.overall()], self.results.plan.seeds
        sentences = [
            "A difference counts when the t-test over seeds and patients says so: it asks whether other training "
            "runs, on other patients like these, would show it too.",
            "The best strategy was chosen by these same numbers, which favours it slightly over the next best; a "
            "comparison chosen beforehand is free of that bias.",
        ]
        if lines:
            hold = sum(line.p is not None and line.p < LEVEL for line in lines)
            sentences.append(
                "Wilcoxon's test of each run, as papers report it, ignores the variation between training runs: "
                f"of all organs together it calls {share_of_runs(lines, LEVEL):.0%} of the single runs here "
                f"significant (p < {LEVEL:g}); {hold} of {len(lines)} differences hold over seeds and patients."
            )
        if seeds == 1:
            sentences.append("With one seed the variation between training runs is unknown: run more with --seeds.")
        elif seeds < 5:
            sentences.append(
                f"With {seeds} seeds the variation between training runs is known only roughly: take a p just below "
                f"{LEVEL:g} as a reason to run more seeds."
            )
        if self.folds:
            sentences.append(
                "Training sets of folds overlap, so patients of different folds are not quite independent."
            )
        if self.folds or any(cell.labelled < 1 for cell in self.results.plan.cells):
            sentences.append(
                "The coarse maps come from all labelled cases, whatever a fold or a share of labels holds back."
            )
        return sentences
