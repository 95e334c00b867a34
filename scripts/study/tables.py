"""The study's tables, organ by strategy, as plain data, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..evaluate.statistics import ALL
from ..evaluate.wording import p_text
from .cells import Cell
from .differences import Difference, compare_strategies
from .results import Results, Values
from .strategy import FLOOR

BASELINE = "scratch"


class Table:
    """One protocol and share of labels: each organ's mean Dice by method, and which differences are beyond chance.

    Args:
        results: the study's results.
        cell: the protocol and share of labels.
        baseline: the strategy, or the coarse map, that all are compared with; None for ``scratch``, or for the coarse
            map where ``scratch`` was not run or is the only strategy.

    Attributes:
        best: the strategy with the highest mean over all organs; ``next_best`` the one after it, None if there is none.
        against_next: ``best`` against ``next_best``: all organs together, then each organ.
        against_baseline: each strategy against the baseline.
    """

    def __init__(self, results: Results, cell: Cell, baseline: str | None = None) -> None:
        self.results, self.cell = results, cell
        self.values = results.values(cell)
        strategies = sorted(results.methods[1:], key=lambda name: -float(self.values[ALL][name].mean()))
        self.best, self.next_best = strategies[0], strategies[1] if len(strategies) > 1 else None
        self.baseline = baseline or (BASELINE if BASELINE in strategies and self.next_best else FLOOR)
        organs = results.organs
        self.against_next = compare_strategies(self.values, self.next_best, self.best, organs) if self.next_best else []
        self.against_baseline = {
            name: compare_strategies(self.values, self.baseline, name, organs)
            for name in results.methods[1:]
            if name != self.baseline
        }

    @property
    def title(self) -> str:
        """The title: the protocol and share of labels."""
        share = "" if self.cell.labelled == 1 else f", {self.cell.labelled * 100:g}% of the labelled patients"
        return {"frozen": "Encoder frozen", "tuned": "Encoder tuned"}[self.cell.protocol] + share

    def lines(self) -> list[dict[str, Any]]:
        """One line per organ, all together first: method -> (mean, standard deviation over patients)."""
        return [
            {
                "organ": organ,
                "patients": self.values[organ][FLOOR].shape[1],
                "found": {method: mean_and_sd(self.values[organ][method]) for method in self.results.methods},
                "best": max(self.results.methods, key=lambda method: self.values[organ][method].mean()),
                "p_next": _p_of(self.against_next, organ),
                "p_baseline": _p_of(self.against_baseline.get(self.best, []), organ),
            }
            for organ in (ALL, *self.results.organs)
        ]

    def phases(self) -> list[dict[str, Any]]:
        """One line per phase: method -> (mean, SD over patients) of all organs, and strategies against the baseline."""
        lines = []
        for phase in self.results.phases:
            values = self.results.values(self.cell, phase=phase)
            if values:
                found = {method: mean_and_sd(values[ALL][method]) for method in self.results.methods}
                against = [
                    _as_dict(compare_strategies(values, self.baseline, name, [])[0]) for name in self.against_baseline
                ]
                patients = values[ALL][FLOOR].shape[1]
                lines.append({"phase": phase, "patients": patients, "found": found, "against_baseline": against})
        return lines

    def overall(self) -> list[Difference]:
        """Every comparison of all organs together, each pair once."""
        found = [lines[0] for lines in self.against_baseline.values()]
        pairs = {frozenset((line.first, line.second)) for line in found}
        return found + [line for line in self.against_next[:1] if {line.first, line.second} not in pairs]

    def content(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "title": self.title,
            "words": self.in_words(),
            "protocol": self.cell.protocol,
            "labelled": self.cell.labelled,
            "best": self.best,
            "next_best": self.next_best,
            "baseline": self.baseline,
            "organs": self.lines(),
            "phases": self.phases(),
            "against_next": [_as_dict(line) for line in self.against_next],
            "against_baseline": {
                name: [_as_dict(line) for line in lines] for name, lines in self.against_baseline.items()
            },
        }

    def in_words(self) -> str:
        """The result in one sentence."""
        mean, floor = (float(self.values[ALL][name].mean()) for name in (self.best, FLOOR))
        clauses = [f"{self.best} has the highest mean Dice of the strategies, {mean:.3f} (coarse map {floor:.3f})"]
        compared = [lines[0] for lines in (self.against_next, self.against_baseline.get(self.best, [])) if lines]
        clauses += list(dict.fromkeys(_in_words(line) for line in compared))  # the next best may be the baseline
        return f"{self.title}: {'; '.join(clauses)}."

    def latex(self) -> str:
        """The table for a paper (booktabs)."""
        methods = self.results.methods
        head = " & ".join(["Organ", *map(_tex, methods), "$p$ next", "$p$ " + _tex(self.baseline)])
        body = []
        for line in self.lines():
            entries = []
            for method in methods:
                mean, sd = line["found"][method]
                entry = f"{mean:.3f}" + ("" if sd is None else f" $\\pm$ {sd:.3f}")
                entries.append(f"\\textbf{{{entry}}}" if method == line["best"] else entry)
            cells = [
                _tex(line["organ"]),
                *entries,
                *(p_text(line[key], "--", "$<$ 0.001") for key in ("p_next", "p_baseline")),
            ]
            body.append(" & ".join(cells) + r" \\")
        rows = "\n".join([body[0], r"\midrule", *body[1:]])
        caption = (
            f"{_tex(self.title)}. Dice, mean $\\pm$ SD over {self.results.sizes[1]} patients of the mean over "
            f"{self.results.plan.seeds} training runs. $p$: {_tex(self.best)} against the next best and against "
            f"{_tex(self.baseline)}, t-test over training runs and patients, corrected over organs (Holm)."
        )
        return (
            f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\begin{{tabular}}{{l{'c' * len(methods)}cc}}\n"
            f"\\toprule\n{head} \\\\\n\\midrule\n{rows}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )


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
    """All tables in long form: one row per protocol, share of labels, organ and method."""
    return [
        {
            "protocol": table.cell.protocol,
            "labelled": table.cell.labelled,
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


def _p_of(lines: Sequence[Difference], organ: str) -> float | None:
    return next((line.corrected_p for line in lines if line.organ == organ), None)


def _in_words(line: Difference) -> str:
    p = p_text(line.p, bound="", form=".2g")
    interval = "" if line.low is None else f" (95 % interval {line.low:+.3f} to {line.high:+.3f}, p = {p})"
    return f"{line.difference:+.3f} over {line.first}{interval}: {line.verdict}"


def _as_dict(line: Difference) -> dict[str, Any]:
    return {**asdict(line), "verdict": line.verdict}


def _tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^_%&#${}]", lambda found: words.get(found[0], "\\" + found[0]), text)


def share_of_runs(lines: Sequence[Difference], level: float) -> float:
    """The share of single training runs that Wilcoxon's test by itself would call significant."""
    found = [p for line in lines for p in line.runs if p is not None]
    return float(np.mean([p < level for p in found])) if found else 0.0
