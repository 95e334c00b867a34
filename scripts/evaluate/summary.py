"""What the table of rows comes to: means by organ, phase and method, what was missed or invented, comparisons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import BY_NAME, FALSE_POSITIVE, INTERSECTION, METRICS, MISSED, UNION, Metric
from .rows import BACKGROUND, Row
from .statistics import ALL, EXACT, LEVEL, MANY, Comparison, compare_methods

Values = NDArray[np.float64]


@dataclass
class Summary:
    """Everything the report says in numbers.

    Args:
        rows: the table.
        methods: names, the one to compare with first.
        organs: names, in the order they are listed.
        phases: names.
    """

    rows: Sequence[Row]
    methods: tuple[str, ...]
    organs: tuple[str, ...]
    phases: tuple[str, ...]
    _by_method: dict[tuple[str, str], list[Row]] = field(default_factory=dict, init=False, repr=False)
    _compared_with: dict[tuple[str, str], list[Comparison]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for row in self.rows:
            self._by_method.setdefault((row.metric, row.method), []).append(row)

    @property
    def main(self) -> str:
        """The method the report is about: the second, which is compared with the first, or the only one."""
        return self.methods[min(1, len(self.methods) - 1)]

    def values(self, metric: Metric, method: str, organ: str = ALL, phase: str | None = None) -> Values:
        """Values (patients,): of each patient the mean over scans, and over organs for all of them."""
        return patient_means(
            row
            for row in self._by_method.get((metric.name, method), [])
            if organ in (ALL, row.organ) and phase in (None, row.phase)
        )

    def means(self) -> list[dict[str, Any]]:
        """A line a metric, organ and method: mean, standard deviation, median and range over patients."""
        lines = []
        for metric in METRICS:
            for organ in (ALL, *self.organs):
                for method in self.methods:
                    values = self.values(metric, method, organ)
                    if len(values):
                        names = {"metric": metric.name, "organ": organ, "method": method, "patients": len(values)}
                        lines.append(names | describe(values))
        return lines

    def by_phase(self) -> list[dict[str, Any]]:
        """A line a metric, phase and method: mean over patients of all organs."""
        lines = []
        for metric in METRICS:
            for phase in self.phases:
                for method in self.methods:
                    values = self.values(metric, method, phase=phase)
                    if len(values):
                        own = self._by_method[metric.name, method]
                        counts = {
                            "cases": len({row.case for row in own if row.phase == phase}),
                            "patients": len(values),
                        }
                        names = {"metric": metric.name, "phase": phase, "method": method, **counts}
                        lines.append(names | describe(values))
        return lines

    def detection(self) -> list[dict[str, Any]]:
        """A line an organ and method: in how many scans it is there and missed, absent and drawn, and how much then."""
        lines = []
        for organ in self.organs:
            for method in self.methods:
                missed, invented = (
                    [row.value for row in self._by_method.get((metric, method), []) if row.organ == organ]
                    for metric in (MISSED, FALSE_POSITIVE)
                )
                lines.append(
                    {
                        "organ": organ,
                        "method": method,
                        "present": len(missed),
                        "missed": int(sum(missed)),
                        "absent": len(invented),
                        "drawn_though_absent": sum(value > 0 for value in invented),
                        "false_positive_ml": float(sum(invented)),
                    }
                )
        return lines

    def over_all(self) -> list[dict[str, Any]]:
        """A line a method: IoU of each organ over the voxels of all scans together, and the mean with background.

        So PASCAL VOC measures (its challenge's segmentation accuracy), and most of the work on pictures. None for an
        organ that is neither there nor drawn anywhere; it is not in the mean.
        """
        lines = []
        for method in self.methods:
            found: dict[str, float | None] = {}
            for name in (BACKGROUND, *self.organs):
                both, either = (
                    sum(row.value for row in self._own(method, metric) if row.organ == name)
                    for metric in (INTERSECTION, UNION)
                )
                found[name] = both / either if either else None
            known = [value for value in found.values() if value is not None]
            lines.append({"method": method, "iou": found, "mean": float(np.mean(known)) if known else None})
        return lines

    def comparisons(self, metric: Metric, second: str) -> list[Comparison]:
        """A method against the first one: all organs, then each."""
        key = (metric.name, second)
        if key not in self._compared_with:
            self._compared_with[key] = compare_methods(self.rows, self.methods[0], second, self.organs, metric)
        return self._compared_with[key]

    def content(self) -> dict[str, Any]:
        """Everything as plain data."""
        compared = [
            {"first_method": self.methods[0], "second_method": second, **asdict(line), "verdict": line.verdict}
            for second in self.methods[1:]
            for metric in METRICS
            for line in self.comparisons(metric, second)
        ]
        return {
            "headline": self.headline(),
            "in_words": self.in_words(),
            "cases": len({row.case for row in self.rows}),
            "patients": len({row.patient for row in self.rows}),
            "methods": list(self.methods),
            "comparisons": compared,
            "means": self.means(),
            "phases": self.by_phase(),
            "detection": self.detection(),
            "over_all": self.over_all(),
        }

    def headline(self) -> str:
        """The result in one sentence."""
        if len(self.methods) == 1:
            values = self.values(METRICS[0], self.methods[0])
            cases = len({row.case for row in self.rows})
            return f"Mean Dice {values.mean():.3f} over {cases} cases of {len(values)} patients ({self.methods[0]})."
        return headline(self.comparisons(METRICS[0], self.main)[0], self.methods[0], self.main)

    def in_words(self) -> list[str]:
        """What a clinician would want to know, in sentences."""
        last = self.main
        nsd = self.values(BY_NAME["nsd"], last)
        missed_at = {(row.case, row.organ) for row in self._own(last, MISSED) if row.value}
        hd95 = [row.value for row in self._own(last, "hd95") if (row.case, row.organ) not in missed_at]
        said = [f"By {last}, {nsd.mean():.1%} of the organs' surfaces lie within tolerance of the true ones."]
        if hd95:
            said[0] += f" Of an organ that was found, 95 % of the surface is within {np.median(hd95):.1f} mm (median)."
        found = [line for line in self.detection() if line["method"] == last]
        present, missed = (sum(line[key] for line in found) for key in ("present", "missed"))
        names = ", ".join(f"{_named(line['organ'])} {line['missed']}x" for line in found if line["missed"])
        said.append(f"Missed altogether: {missed} of {present} organs{f' ({names})' if names else ''}.")
        invented, absent = (sum(line[key] for line in found) for key in ("drawn_though_absent", "absent"))
        if absent:
            volume = sum(line["false_positive_ml"] for line in found)
            said.append(f"Drawn though not there: {invented} of {absent} absent organs, {volume:.1f} mL together.")
        return said + (self._compared(last) if len(self.methods) > 1 else [])

    def _own(self, method: str, metric: str) -> list[Row]:
        return self._by_method.get((metric, method), [])

    def _compared(self, second: str) -> list[str]:
        first = self.methods[0]
        overall, *organs = self.comparisons(METRICS[0], second)
        better = [line for line in organs if line.better]
        worse = [line for line in organs if line.difference and not line.better]
        told = [line for line in organs if line.verdict in ("better, beyond chance", "worse, beyond chance")]
        said = f"By Dice, {second} is better than {first} in {len(better)} of {len(organs)} organs"
        said += f", worse in {_listed(line.organ for line in worse)}." if worse else " and worse in none."
        smallest = min((line.smallest_p for line in organs), default=overall.smallest_p)
        said_of_p = (
            f"With {overall.patients} patients the smallest p that can be reached is {_p(overall.smallest_p)} for all "
            f"organs together and {_p(smallest)} for a single one after correction for {len(organs)} organs: "
        )
        if smallest >= LEVEL:
            said_of_p += "whatever the difference, a single organ could not be told from chance."
        else:
            names = _listed(line.organ for line in told)
            said_of_p += f"told from chance: {names}." if told else "no single organ is told from chance."
        return [said, said_of_p]


def patient_means(rows: Iterable[Row]) -> Values:
    """The mean value of each patient, in order of first appearance."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values[row.patient].append(row.value)
    return np.array([np.mean(found) for found in values.values()])


def describe(values: Values) -> dict[str, float | None]:
    """Mean, standard deviation (n - 1, None for one value), median and range."""
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "median": float(np.median(values)),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }


def headline(line: Comparison, first: str, second: str) -> str:
    """A comparison of Dice in one sentence."""
    way = {"better, beyond chance": "better", "worse, beyond chance": "worse"}.get(line.verdict)
    told = f"{way} than {first} beyond chance" if way else line.verdict
    p = "" if line.p is None else f", p = {line.p:.2g}"
    return (
        f"Mean Dice {line.first:.3f} {first}, {line.second:.3f} {second} ({line.difference:+.3f}) "
        f"over {line.cases} cases of {line.patients} patients: {told}{p}."
    )


def tests_in_words() -> str:
    """How p values were made."""
    return (
        f"two-sided Wilcoxon signed-rank test over patients (exact, also with ties, up to {MANY} that differ), and "
        f"beside it the sign-flipping permutation test of the mean difference (all signs up to {EXACT} patients)"
    )


def _named(organ: str) -> str:
    return organ.replace("_", " ")


def _listed(organs: Iterable[str]) -> str:
    return ", ".join(_named(organ) for organ in organs)


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.2g}"
