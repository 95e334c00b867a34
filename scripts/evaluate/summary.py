"""What the table of rows comes to: means by organ, phase and method, false negatives and positives, comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..printable import counted
from . import wording
from .metrics import BY_NAME, FALSE_POSITIVE, INTERSECTION, METRICS, MISSED, UNION, Metric
from .rows import BACKGROUND, Row
from .statistics import ALL, Comparison, compare_methods, patient_means
from .step_down import Values
from .verdict import EQUIVALENCE


@dataclass
class Summary:
    """All numbers of the report.

    Args:
        rows: the table of rows.
        methods: names of the methods; the others are compared with the first.
        organs: names of the organs, in the order they are listed.
        phases: names of the phases.
        equivalence: the largest difference of Dice, IoU and NSD that means nothing in practice.
    """

    rows: Sequence[Row]
    methods: tuple[str, ...]
    organs: tuple[str, ...]
    phases: tuple[str, ...]
    equivalence: float = EQUIVALENCE
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
        """Values (patients,): each patient's mean over scans and, for all organs together, then over organs."""
        means = patient_means(
            (row.patient, row.organ, row.value)
            for row in self._rows(metric.name, method)
            if organ in (ALL, row.organ) and phase in (None, row.phase)
        )
        return np.array(list(means.values()))

    def means(self) -> list[dict[str, Any]]:
        """One line per metric, organ and method: mean, standard deviation, median and range over patients."""
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
        """One line per metric, phase and method: the same over patients, of all organs together."""
        lines = []
        for metric in METRICS:
            for phase in self.phases:
                for method in self.methods:
                    values = self.values(metric, method, phase=phase)
                    if len(values):
                        cases = {row.case for row in self._rows(metric.name, method) if row.phase == phase}
                        names = {"metric": metric.name, "phase": phase, "method": method}
                        lines.append(names | {"cases": len(cases), "patients": len(values)} | describe(values))
        return lines

    def detection(self) -> list[dict[str, Any]]:
        """One line per organ and method: scans with the organ, missed ones, scans without it, false positives."""
        lines = []
        for organ in self.organs:
            for method in self.methods:
                missed, false_positive = (
                    [row.value for row in self._rows(metric, method) if row.organ == organ]
                    for metric in (MISSED, FALSE_POSITIVE)
                )
                lines.append(
                    {
                        "organ": organ,
                        "method": method,
                        "present": len(missed),
                        "missed": int(sum(missed)),
                        "absent": len(false_positive),
                        "drawn_though_absent": sum(value > 0 for value in false_positive),
                        "false_positive_ml": float(sum(false_positive)),
                    }
                )
                lines[-1]["f1"] = detection_f1(lines[-1:])
        return lines

    def beside(self, metric: str, organ: str) -> list[float | None] | None:
        """What stands beside the means of a metric, by method: F1 of detection for Dice, the median for distances."""
        if metric == "dice":
            return [
                detection_f1(
                    line for line in self._detection if line["method"] == method and organ in (ALL, line["organ"])
                )
                for method in self.methods
            ]
        if BY_NAME[metric].worst is None:
            values = [self.values(BY_NAME[metric], method, organ) for method in self.methods]
            return [float(np.median(of_method)) if len(of_method) else None for of_method in values]
        return None

    @cached_property
    def _detection(self) -> list[dict[str, Any]]:
        return self.detection()

    def beside_headline(self) -> str:
        """F1 of detection and the median HD95 of each method, which the headline's mean does not show."""
        f1, hd95 = self.beside("dice", ALL), self.beside("hd95", ALL)
        return wording.beside_headline(self.methods, f1 or [], hd95 or [])

    def over_all(self) -> list[dict[str, Any]]:
        """One line per method: each organ's IoU over the voxels of all scans together, and the mean with background.

        PASCAL VOC measures this way (its challenge's segmentation accuracy), and so does most work on photographs. None
        for an organ that is neither present nor predicted anywhere; the mean leaves it out.
        """
        lines = []
        for method in self.methods:
            found: dict[str, float | None] = {}
            for name in (BACKGROUND, *self.organs):
                both, either = (
                    sum(row.value for row in self._rows(metric, method) if row.organ == name)
                    for metric in (INTERSECTION, UNION)
                )
                found[name] = both / either if either else None
            known = [value for value in found.values() if value is not None]
            lines.append({"method": method, "iou": found, "mean": float(np.mean(known)) if known else None})
        return lines

    def comparisons(self, metric: Metric, second: str) -> list[Comparison]:
        """A method against the first one: all organs together, then each organ."""
        key = (metric.name, second)
        if key not in self._compared_with:
            self._compared_with[key] = compare_methods(
                self.rows, self.methods[0], second, self.organs, metric, self.equivalence
            )
        return self._compared_with[key]

    def content(self) -> dict[str, Any]:
        """Everything as plain data."""
        compared = [
            {
                "first_method": self.methods[0],
                "second_method": second,
                **asdict(line),
                "verdict": line.verdict,
                "beside": self._beside_two(metric.name, line.organ, second),
            }
            for second in self.methods[1:]
            for metric in METRICS
            for line in self.comparisons(metric, second)
        ]
        return {
            "headline": self.headline(),
            "beside_headline": self.beside_headline(),
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

    def _beside_two(self, metric: str, organ: str, second: str) -> list[float | None] | None:
        found = self.beside(metric, organ)
        return None if found is None else [found[0], found[self.methods.index(second)]]

    def headline(self) -> str:
        """The result in one sentence."""
        if len(self.methods) == 1:
            values = self.values(METRICS[0], self.methods[0])
            cases = counted(len({row.case for row in self._rows(METRICS[0].name, self.methods[0])}), "case")
            size = f"{cases} of {counted(len(values), 'patient')}"
            return f"Mean Dice {values.mean():.3f} over {size} ({self.methods[0]})."
        return wording.headline(self.comparisons(METRICS[0], self.main)[0], self.methods[0], self.main)

    def in_words(self) -> list[str]:
        """What a clinician would want to know, in sentences."""
        missed = {(row.case, row.organ) for row in self._rows(MISSED, self.main) if row.value}
        hd95 = [row.value for row in self._rows("hd95", self.main) if (row.case, row.organ) not in missed]
        sentences = [wording.surface_sentence(self.main, self.values(BY_NAME["nsd"], self.main), hd95)]
        sentences += wording.detection_sentences([line for line in self.detection() if line["method"] == self.main])
        if len(self.methods) > 1:
            compared = self.comparisons(METRICS[0], self.main)
            sentences += wording.comparison_sentences(compared, self.methods[0], self.main)
        return sentences

    def _rows(self, metric: str, method: str) -> list[Row]:
        return self._by_method.get((metric, method), [])


def detection_f1(lines: Iterable[Mapping[str, Any]]) -> float | None:
    """F1 of finding organs, over lines of ``Summary.detection``; None where none is present and none was segmented.

    An organ of a scan is found where it is present and at least a voxel was segmented of it.
    """
    found = wrong = 0
    for line in lines:
        found += line["present"] - line["missed"]
        wrong += line["missed"] + line["drawn_though_absent"]
    return 2 * found / (2 * found + wrong) if found + wrong else None


def describe(values: Values) -> dict[str, float | None]:
    """Mean, standard deviation (n - 1; None for one value), median and range."""
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "median": float(np.median(values)),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }
