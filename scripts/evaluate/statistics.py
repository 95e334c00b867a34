"""Can a difference be told from chance: two methods on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .rows import Row

EXACT = 12  # patients up to which all 2^n signs are tried
RESAMPLES = 10_000
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """One organ, or all of them: two methods paired by patient.

    ``low`` and ``high`` bound the mean difference (None for one patient); ``ranks`` is the sign of the signed ranks.
    ``p`` is of the Wilcoxon signed-rank test, ``p_holm`` corrected over organs; None where no patient differs.
    ``smallest_p`` is what the patients that differ can reach at best, for an organ after correction if all reach it.
    """

    organ: str
    cases: int
    patients: int
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    ranks: int
    p: float | None
    p_holm: float | None
    smallest_p: float

    @property
    def verdict(self) -> str:
        """In words, whether chance alone could have made the difference."""
        p = self.p if self.p_holm is None else self.p_holm
        if p is None:
            return "no difference"
        if p < LEVEL and self.ranks * self.difference <= 0:
            return "most patients one way, the mean the other"
        if p < LEVEL:
            return "better than chance" if self.difference > 0 else "worse than chance"
        if self.smallest_p >= LEVEL:
            return f"too few patients to tell ({self.patients})"
        return "cannot be told from chance"


def compare(
    rows: Sequence[Row], first: str, second: str, organs: Sequence[str], metric: str = "dice"
) -> list[Comparison]:
    """Compare ``second`` with ``first``: a line for all organs together (named "all organs"), then one an organ.

    The unit is the patient: scans of one patient are averaged first; for all organs together a patient's organs too.
    """
    kept = [row for row in rows if row.metric == metric and row.method in (first, second)]
    overall = _compare("all organs", kept, first, second)
    found = [_compare(organ, [row for row in kept if row.organ == organ], first, second) for organ in organs]
    each = [line for line in found if line is not None]
    corrected = iter(holm([line.p for line in each if line.p is not None]))
    lines = [overall] if overall else []
    for line in each:
        p_holm = next(corrected) if line.p is not None else None
        lines.append(replace(line, p_holm=p_holm, smallest_p=min(1.0, line.smallest_p * len(each))))
    return lines


def _compare(organ: str, rows: Sequence[Row], first: str, second: str) -> Comparison | None:
    pairs = paired(rows, first, second)
    if not len(pairs):
        return None
    difference = pairs[:, 1] - pairs[:, 0]
    low, high = interval(difference)
    return Comparison(
        organ=organ,
        cases=len({row.case for row in rows}),
        patients=len(pairs),
        first=float(pairs[:, 0].mean()),
        second=float(pairs[:, 1].mean()),
        difference=float(difference.mean()),
        low=low,
        high=high,
        ranks=int(np.sign((np.sign(difference) * stats.rankdata(np.abs(difference))).sum())),
        p=signed_rank(difference),
        p_holm=None,
        smallest_p=min(1.0, 2.0 ** (1 - np.count_nonzero(difference))),
    )


def paired(rows: Sequence[Row], first: str, second: str) -> NDArray[np.float64]:
    """Values (patients, 2) of two methods, a patient's organs and scans averaged; only what both have measured."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    patient = {row.case: row.patient for row in rows}
    for row in rows:
        values.setdefault((row.case, row.organ), {})[row.method] = row.value
    by_patient: dict[str, list[tuple[float, float]]] = {}
    for (case, _), measured in values.items():
        if first in measured and second in measured:
            by_patient.setdefault(patient[case], []).append((measured[first], measured[second]))
    return np.array([np.mean(pairs, axis=0) for pairs in by_patient.values()]).reshape(-1, 2)


def signed_rank(difference: NDArray[np.float64]) -> float | None:
    """Two-sided p of the Wilcoxon signed-rank test: over all signs for few patients, also with ties.

    Patients without a difference are left out (Wilcoxon's rule); None when that leaves nobody.
    """
    moved = difference[difference != 0]
    if not len(moved):
        return None
    if len(moved) == 1:
        return 1.0  # both signs are as extreme; scipy wants two patients at least
    method = stats.PermutationMethod(n_resamples=np.inf) if len(moved) <= EXACT else "auto"
    return float(stats.wilcoxon(moved, method=method).pvalue)


def interval(difference: NDArray[np.float64]) -> tuple[float, float] | tuple[None, None]:
    """95 % percentile bootstrap interval of the mean difference over patients; None for a single one."""
    if len(difference) < 2:
        return None, None
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (RESAMPLES, len(difference))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given."""
    known = np.array(p_values, float)
    order = np.argsort(known)
    scaled = np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1))
    corrected = np.empty(len(known))
    corrected[order] = np.minimum(scaled, 1)
    return [float(p) for p in corrected]
