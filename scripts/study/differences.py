"""Is a difference between two strategies more than chance in patients and in seeds? A test that crosses both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..evaluate.statistics import ALL, LEVEL, holm, signed_rank

Values = NDArray[np.float64]
TINY = float(np.finfo(float).tiny)  # no p is 0


@dataclass(frozen=True)
class Difference:
    """The difference of two strategies, ``second`` minus ``first``, for one organ or all of them.

    ``low``, ``high`` and ``p`` come from the test over seeds and patients (``crossed_t_test``); ``p_holm`` is ``p``
    corrected over organs. ``runs`` holds, for each seed by itself, the p of Wilcoxon's signed-rank test over patients,
    as a paper with one training run per strategy would report it. Each is None where it is undefined: with one seed or
    one patient, and for a run in which no patient differs.
    """

    first: str
    second: str
    organ: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    runs: tuple[float | None, ...]
    seeds: int
    patients: int

    @property
    def corrected_p(self) -> float | None:
        """The p that decides: corrected over organs where that has been done."""
        return self.p if self.p_holm is None else self.p_holm

    @property
    def verdict(self) -> str:
        """What the test says, in words."""
        p = self.corrected_p
        if self.seeds < 2:
            return "one seed: chance in training cannot be assessed"
        if p is None:
            return "one patient: chance in patients cannot be assessed"
        if p < LEVEL:
            return "better, beyond seeds and patients" if self.difference > 0 else "worse, beyond seeds and patients"
        return "cannot be told from chance"


def compare_organ(first: Values, second: Values, names: tuple[str, str], organ: str) -> Difference:
    """Compare two strategies on one organ.

    Args:
        first: values (seeds, patients) of the first strategy; the same seeds and patients as ``second``.
        second: values of the second strategy.
        names: the names of both strategies.
        organ: the organ's name, for the record.
    """
    paired = second - first
    low, high, p = crossed_t_test(paired) or (None, None, None)
    return Difference(
        first=names[0],
        second=names[1],
        organ=organ,
        difference=float(paired.mean()),
        low=low,
        high=high,
        p=p,
        p_holm=None,
        runs=tuple(signed_rank(run) for run in paired),
        seeds=paired.shape[0],
        patients=paired.shape[1],
    )


def compare_strategies(
    values: dict[str, dict[str, Values]], first: str, second: str, organs: Sequence[str]
) -> list[Difference]:
    """Compare two strategies on all organs together, then on each organ, with Holm's correction.

    Args:
        values: organ (or ``ALL``) -> strategy -> (seeds, patients).
        first: name of the first strategy.
        second: name of the second strategy.
        organs: the organs to compare.
    """
    overall = compare_organ(values[ALL][first], values[ALL][second], (first, second), ALL)
    each = [compare_organ(values[organ][first], values[organ][second], (first, second), organ) for organ in organs]
    corrected = holm([1.0 if line.p is None else line.p for line in each])
    return [
        overall,
        *(
            replace(line, p_holm=None if line.p is None else p_holm)
            for line, p_holm in zip(each, corrected, strict=True)
        ),
    ]


def crossed_t_test(paired: Values) -> tuple[float, float, float] | None:
    """95 % interval and two-sided p of the mean of differences (seeds, patients); None for one seed or one patient.

    Every patient is measured with every seed, so both are random effects, crossed, like readers and cases in reader
    studies (Dorfman, Berbaum and Metz, Investigative Radiology 27(9):723-731, 1992). With the mean squares of seeds A,
    patients B and their interaction C, the variance of the mean is (A + E) / (S P) with E = max(B - C, 0), and t has
    (A + E)^2 / (A^2 / (S - 1) + E^2 / (P - 1)) degrees of freedom. Satterthwaite's formula with B and C as separate
    terms approaches 0 degrees, and intervals without bound, where they nearly cancel (Hillis, Statistics in Medicine
    26(3):596-619, 2007); this one has at least the smaller of S - 1 and P - 1. If all seeds were alike, or all
    patients, it would be the t-test over the other factor. docs/study.md reports its error rates.
    """
    seeds, patients = paired.shape
    if min(seeds, patients) < 2:
        return None
    mean = float(paired.mean())
    by_seed, by_patient = paired.mean(1) - mean, paired.mean(0) - mean
    rest = paired - mean - by_seed[:, None] - by_patient
    of_seeds = patients * (by_seed**2).sum() / (seeds - 1)
    of_patients = seeds * (by_patient**2).sum() / (patients - 1)
    of_rest = (rest**2).sum() / ((seeds - 1) * (patients - 1))
    terms = np.array([of_seeds, max(of_patients - of_rest, 0.0)])
    if terms.sum() <= 0:  # every seed and patient differs by the same amount
        return mean, mean, 1.0 if mean == 0 else TINY
    error = float(np.sqrt(terms.sum() / paired.size))
    degrees = float(terms.sum() ** 2 / (terms**2 / [seeds - 1, patients - 1]).sum())
    reach = float(stats.t.ppf(0.975, degrees)) * error
    return mean - reach, mean + reach, max(2 * float(stats.t.sf(abs(mean) / error, degrees)), TINY)
