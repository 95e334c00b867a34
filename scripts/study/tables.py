"""The study's tables, one per amount of labels and budget, as plain data, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..evaluate.statistics import ALL
from ..evaluate.step_down import Values
from .comparisons import Difference, compare_organs
from .contrasts import Contrast
from .plan import Cell
from .ranking import ranks
from .results import Results

MORE = 0.01  # Dice that twice the budget has to give for training to be limited by compute


class Table:
    """One amount of labels with one budget: each organ's mean Dice by strategy, comparisons, ranks and costs.

    Args:
        results: the study's results.
        cell: the amount of labels and the budget.
        named: the comparisons that were named before the run, of this cell.
        exploratory: all strategies against the baseline, of this cell.
    """

    def __init__(
        self, results: Results, cell: Cell, named: Sequence[Difference], exploratory: Sequence[Difference]
    ) -> None:
        self.results, self.cell, self.named, self.exploratory = results, cell, named, exploratory
        self.measured = results.measured(cell)

    @property
    def title(self) -> str:
        """The amount of labels, and the budget."""
        patients = _range(self.results.learnt(self.cell)["patients"])
        counted = "" if self.cell.labels.patients else f" ({patients} patients)"
        budget = "" if self.cell.budget is None else f", {self.cell.budget:g} s of training"
        return f"Label maps of {self.cell.labels.name}{counted}{budget}"

    def lines(self) -> list[dict[str, Any]]:
        """One line per organ, all together first: strategy -> (mean, standard deviation over patients)."""
        measured, found = self.measured, []
        for organ, values in {ALL: measured.values, **measured.organs}.items():
            kept = values[..., ~np.isnan(values).any((0, 1))]
            by_method = dict(zip(measured.arms, map(mean_and_sd, kept), strict=True))
            best = max(by_method, key=lambda method: by_method[method][0])
            found.append({"organ": organ, "patients": kept.shape[2], "found": by_method, "best": best})
        return found

    def phases(self) -> list[dict[str, Any]]:
        """One line per phase: strategy -> (mean, SD over patients) of all organs."""
        found = []
        for phase in self.results.plan.table.phases:
            measured = self.results.measured(self.cell, phase)
            if measured.values.shape[2]:
                by_method = dict(zip(measured.arms, map(mean_and_sd, measured.values), strict=True))
                found.append({"phase": phase, "patients": measured.values.shape[2], "found": by_method})
        return found

    def content(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "title": self.title,
            "labels": self.cell.labels.name,
            "budget": self.cell.budget,
            "learnt": self.results.learnt(self.cell),
            "words": self.in_words(),
            "organs": self.lines(),
            "phases": self.phases(),
            "named": [as_data(one) for one in self.named],
            "exploratory": [as_data(one) for one in self.exploratory],
            "by_organ": {contrast.name: [as_data(one) for one in lines] for contrast, lines in self.by_organ().items()},
            "ranks": [asdict(rank) for rank in ranks(self.measured.values, self.measured.arms)],
            "costs": self.results.costs(self.cell),
        }

    def by_organ(self) -> dict[Contrast, list[Difference]]:
        """The named contrasts, organ by organ."""
        equivalence = {one.contrast: one.equivalence for one in self.named}
        return {contrast: compare_organs(self.measured, contrast, width) for contrast, width in equivalence.items()}

    def in_words(self) -> list[str]:
        """The result in sentences: the best strategy, then each named contrast."""
        overall = self.lines()[0]
        mean = overall["found"][overall["best"]][0]
        sentences = [f"{overall['best']} has the highest mean Dice, {mean:.3f}."]
        for one in self.named:
            others = one.contrast.second
            other = f"the best of {len(others)}" if one.tested is None and len(others) > 1 else _against(one)
            sentences.append(f"{one.contrast.first} over {other}: {one.difference:+.3f} Dice, {one.verdict}.")
        return sentences

    def latex(self) -> str:
        """The table for a paper (booktabs)."""
        methods, lines = self.measured.arms, self.lines()
        body = []
        for line in lines:
            entries = []
            for method in methods:
                mean, sd = line["found"][method]
                entry = f"{mean:.3f}" + ("" if sd is None else f" $\\pm$ {sd:.3f}")
                entries.append(f"\\textbf{{{entry}}}" if method == line["best"] else entry)
            body.append(" & ".join([_tex(line["organ"]), *entries]) + r" \\")
        head = " & ".join(["Organ", *map(_tex, methods)])
        fewer = [f"{_tex(one['organ'])}: {one['patients']}" for one in lines if one["patients"] < lines[0]["patients"]]
        caption = (
            f"{_tex(self.title)}. Dice, mean $\\pm$ SD over {lines[0]['patients']} patients "
            f"{'(' + ', '.join(fewer) + ') ' if fewer else ''}of the mean over {self.results.plan.seeds} runs."
        )
        rows = "\n".join([body[0], r"\midrule", *body[1:]])
        return (
            f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\begin{{tabular}}{{l{'c' * len(methods)}}}\n"
            f"\\toprule\n{head} \\\\\n\\midrule\n{rows}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )


def limits(tables: Sequence[Table]) -> list[str]:
    """Whether scratch is limited by compute or by labels, for each budget whose double was run too, in sentences."""
    found = []
    by_cell = {(table.cell.labels, table.cell.budget): table for table in tables if table.cell.budget}
    for (labels, budget), table in by_cell.items():
        double = by_cell.get((labels, 2 * (budget or 0)))
        if double is None or "scratch" not in table.measured.arms:
            continue
        place = table.measured.arms.index("scratch")
        more = float(double.measured.values[place].mean() - table.measured.values[place].mean())
        limit = "compute: pretraining has to compete with longer training" if more > MORE else "labels, not by compute"
        found.append(f"{table.title}: twice the budget gives scratch {more:+.3f} Dice, so it is limited by {limit}.")
    return found


def as_data(one: Difference) -> dict[str, Any]:
    """A difference as plain data."""
    return {
        "contrast": one.contrast.name,
        "first": one.contrast.first,
        "second": _against(one),
        "table": one.table,
        "organ": one.organ or ALL,
        "named": one.named,
        "difference": one.difference,
        "tested": None if one.tested is None else {**asdict(one.tested), "equivalent": one.tested.equivalent},
        "p": one.p,
        "p_corrected": one.p_corrected,
        "p_note": one.p_note,
        "verdict": one.verdict,
        "seeds": one.seeds,
        "patients": one.patients,
    }


def _against(one: Difference) -> str:
    """What a difference is from, in words."""
    return ", ".join(one.contrast.second) if one.tested is None else one.contrast.against(one.tested.against)


def mean_and_sd(values: Values) -> tuple[float, float | None]:
    """Mean and standard deviation over patients, of each patient's mean over seeds; no deviation for one patient."""
    by_patient = values.mean(0)
    return float(by_patient.mean()), float(by_patient.std(ddof=1)) if len(by_patient) > 1 else None


def csv_text(lines: Iterable[Mapping[str, Any]]) -> str:
    """Lines of plain data as CSV, with six decimals."""
    listed = list(lines)
    text = io.StringIO()
    names = list(dict.fromkeys(key for line in listed for key in line))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.6f}" if isinstance(value, float) else value for key, value in line.items()} for line in listed
    )
    return text.getvalue()


def organ_rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """All tables in long form: one row per amount of labels, budget, organ and strategy."""
    return [
        {
            "labels": table.cell.labels.name,
            "budget": table.cell.budget,
            "organ": line["organ"],
            "method": method,
            "patients": line["patients"],
            "seeds": table.results.plan.seeds,
            "mean": mean,
            "sd": sd,
        }
        for table in tables
        for line in table.lines()
        for method, (mean, sd) in line["found"].items()
    ]


def _range(numbers: Sequence[int]) -> str:
    """One number, or the smallest and largest of several."""
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^_%&#${}]", lambda found: words.get(found[0], "\\" + found[0]), text)
