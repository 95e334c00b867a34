"""Is a difference between two strategies more than the luck of patients and of seeds?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..evaluate.statistics import ALL, LEVEL, holm, signed_rank

RESAMPLES = 10_000
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One organ, or all of them: strategy ``second`` minus ``first``, by seed and patient.

    ``low``, ``high`` and ``p`` are of the bootstrap over seeds and patients, ``p_holm`` is ``p`` corrected over organs.
    ``runs`` are the p values of Wilcoxon's signed-rank test over patients of each seed by itself, as a paper with one
    training run a strategy would report. All are None where they cannot be told: for the bootstrap, with one seed or
    one patient.
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
    def verdict(self) -> str:
        """In words."""
        p = self.p if self.p_holm is None else self.p_holm
        if self.seeds < 2:
            return "one seed: the luck of a training run cannot be told"
        if p is None:
            return "cannot be told"
        if p < LEVEL:
            return "better, beyond seeds and patients" if self.difference > 0 else "worse, beyond seeds and patients"
        return "cannot be told from chance"


def difference(first: Values, second: Values, names: tuple[str, str], organ: str) -> Difference:
    """Compare two strategies of one organ.

    Args:
        first: values (seeds, patients) of the first; the same seeds and patients as ``second``.
        second: values of the other.
        names: of the two.
        organ: for the record.
    """
    paired = second - first
    low, high, p = resample(paired) or (None, None, None)
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


def compare(values: dict[str, dict[str, Values]], first: str, second: str, organs: Sequence[str]) -> list[Difference]:
    """All organs together, then each organ, corrected by Holm.

    Args:
        values: organ (or ``ALL``) -> strategy -> (seeds, patients).
        first: name of a strategy.
        second: name of the other.
        organs: those to compare.
    """
    overall = difference(values[ALL][first], values[ALL][second], (first, second), ALL)
    each = [difference(values[organ][first], values[organ][second], (first, second), organ) for organ in organs]
    corrected = holm([1.0 if line.p is None else line.p for line in each])
    return [
        overall,
        *(
            replace(line, p_holm=None if line.p is None else p_holm)
            for line, p_holm in zip(each, corrected, strict=True)
        ),
    ]


def resample(paired: Values, seed: int = 0) -> tuple[float, float, float] | None:
    """95 % interval and two-sided p of the mean of differences (seeds, patients); None for one seed or one patient.

    Seeds and patients are drawn with replacement, independently, since every patient is measured with every seed
    (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1(2):386-411, 2007). A sample's own spread is too
    small by n / (n - 1), which matters with three seeds: the effects of seeds and of patients are widened by its root
    before they are drawn.
    """
    seeds, patients = paired.shape
    if min(seeds, patients) < 2:
        return None
    mean = paired.mean()
    by_seed, by_patient = paired.mean(1, keepdims=True) - mean, paired.mean(0, keepdims=True) - mean
    rest = paired - mean - by_seed - by_patient
    by_seed = by_seed * np.sqrt(seeds / (seeds - 1))
    by_patient = by_patient * np.sqrt(patients / (patients - 1))
    widened = mean + by_seed + by_patient + rest
    rng = np.random.default_rng(seed)
    drawn_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    drawn_patients = rng.multinomial(patients, np.full(patients, 1 / patients), RESAMPLES) / patients
    means = np.einsum("rs,sp,rp->r", drawn_seeds, widened, drawn_patients, optimize=True)
    low, high = np.quantile(means, (0.025, 0.975))
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    return float(low), float(high), float(min(1.0, 2 * (beyond + 1) / (RESAMPLES + 1)))
