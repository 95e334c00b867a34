"""Can a difference be told from chance? Two methods compared on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .metrics import BY_NAME, Metric
from .rows import Row

EXACT = 12  # the permutation test tries all 2^n signs for up to this many patients
MANY = 200  # the signed-rank test is exact for up to this many patients
RESAMPLES = 10_000
LEVEL = 0.05
ALL = "all organs"

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Two methods paired by patient, for one organ or all of them.

    ``difference`` is the second method's mean minus the first's; ``low`` and ``high`` bound it (95 % bootstrap over
    patients, None for one patient). ``effect`` is the matched-pairs rank-biserial correlation, -1 to 1: the share of
    the rank sum held by differences upwards minus the share held by those downwards (Kerby, Comprehensive Psychology
    3:11.IT.3.1, 2014). ``p`` comes from the Wilcoxon signed-rank test and ``p_permutation`` from the sign-flipping test
    of the mean; ``p_holm`` is ``p`` corrected over organs; all None where no patient differs. ``smallest_p`` is the
    smallest p that the patients who differ can reach, for an organ after correction if every organ reached it.
    """

    metric: str
    organ: str
    cases: int
    patients: int
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    effect: float
    p: float | None
    p_permutation: float | None
    p_holm: float | None
    smallest_p: float

    @property
    def better(self) -> bool:
        """Whether the second method's mean is better."""
        return self.difference * BY_NAME[self.metric].sign > 0

    @property
    def verdict(self) -> str:
        """Whether chance alone could have made the difference, in words."""
        p = self.p if self.p_holm is None else self.p_holm
        if p is None:
            return "no difference"
        if p < LEVEL and self.effect * self.difference <= 0:
            return "most patients one way, the mean the other"
        if p < LEVEL:
            return "better, beyond chance" if self.better else "worse, beyond chance"
        if self.smallest_p >= LEVEL:
            return f"too few patients to tell ({self.patients})"
        return "cannot be told from chance"


def compare_methods(
    rows: Sequence[Row], first: str, second: str, organs: Sequence[str], metric: Metric
) -> list[Comparison]:
    """Compare ``second`` with ``first``: one line for all organs together (``ALL``), then one per organ.

    The unit is the patient: scans of one patient are averaged first; for all organs together, a patient's organs too.
    """
    kept = [row for row in rows if row.metric == metric.name and row.method in (first, second)]
    overall = _compare_organ(ALL, kept, first, second, metric)
    found = [
        _compare_organ(organ, [row for row in kept if row.organ == organ], first, second, metric) for organ in organs
    ]
    each = [line for line in found if line is not None]
    corrected = holm([1.0 if line.p is None else line.p for line in each])  # one that does not differ counts too
    lines = [overall] if overall else []
    for line, p_holm in zip(each, corrected, strict=True):
        smallest = min(1.0, line.smallest_p * len(each))
        lines.append(replace(line, p_holm=None if line.p is None else p_holm, smallest_p=smallest))
    return lines


def _compare_organ(organ: str, rows: Sequence[Row], first: str, second: str, metric: Metric) -> Comparison | None:
    pairs = paired(rows, first, second)
    if not len(pairs):
        return None
    difference = pairs[:, 1] - pairs[:, 0]
    low, high = interval(difference)
    return Comparison(
        metric=metric.name,
        organ=organ,
        cases=len({row.case for row in rows}),
        patients=len(pairs),
        first=float(pairs[:, 0].mean()),
        second=float(pairs[:, 1].mean()),
        difference=float(difference.mean()),
        low=low,
        high=high,
        effect=rank_biserial(difference),
        p=signed_rank(difference),
        p_permutation=sign_flip(difference),
        p_holm=None,
        smallest_p=min(1.0, 2.0 ** (1 - np.count_nonzero(difference))),
    )


def paired(rows: Sequence[Row], first: str, second: str) -> Values:
    """Values (patients, 2) of two methods, averaged over a patient's organs and scans; only those both methods have."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    patient = {row.case: row.patient for row in rows}
    for row in rows:
        values.setdefault((row.case, row.organ), {})[row.method] = row.value
    by_patient: dict[str, list[tuple[float, float]]] = {}
    for (case, _), measured in values.items():
        if first in measured and second in measured:
            by_patient.setdefault(patient[case], []).append((measured[first], measured[second]))
    return np.array([np.mean(pairs, axis=0) for pairs in by_patient.values()]).reshape(-1, 2)


def signed_rank(difference: Values) -> float | None:
    """Two-sided p of the Wilcoxon signed-rank test: exact, also with ties, up to 200 patients; SciPy's choice above.

    Patients without a difference are left out (Wilcoxon's rule); None when that leaves nobody. The distribution of the
    rank sum over all signs is a product of two-term polynomials. SciPy's exact test does not handle ties, and its
    permutation test takes as many steps as there are combinations of signs.
    """
    moved = difference[difference != 0]
    if not len(moved):
        return None
    if len(moved) > MANY:
        return float(stats.wilcoxon(moved).pvalue)
    ranks = np.rint(2 * stats.rankdata(np.abs(moved))).astype(int)  # doubled, so that the ranks of ties are integers
    chances = np.ones(1)
    for rank in ranks:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    apart = np.abs(2 * np.arange(len(chances)) - ranks.sum())
    return min(1.0, float(chances[apart >= abs(2 * ranks[moved > 0].sum() - ranks.sum())].sum()))


def sign_flip(difference: Values) -> float | None:
    """Two-sided p of the mean difference if each patient's sign were a coin toss; None when no patient differs.

    Few patients are tested exactly, with all combinations of signs, more by random ones.
    """
    moved = difference[difference != 0]
    if len(moved) < 2:
        return 1.0 if len(moved) else None  # both signs are equally extreme
    resamples = np.inf if len(moved) <= EXACT else RESAMPLES - 1
    test = stats.permutation_test(
        (moved,), lambda values, axis: np.mean(values, axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=resamples, batch=1000, rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(test.pvalue)


def rank_biserial(difference: Values) -> float:
    """Matched-pairs rank-biserial correlation of the differences; 0 when no patient differs."""
    moved = difference[difference != 0]
    ranks = stats.rankdata(np.abs(moved))
    return float((np.sign(moved) * ranks).sum() / ranks.sum()) if len(moved) else 0.0


def interval(difference: Values) -> tuple[float, float] | tuple[None, None]:
    """95 % percentile bootstrap interval of the mean difference over patients; None for a single patient."""
    if len(difference) < 2:
        return None, None
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (RESAMPLES, len(difference))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's step-down correction, in the order given."""
    known = np.array(p_values, float)
    order = np.argsort(known)
    scaled = np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1))
    corrected = np.empty(len(known))
    corrected[order] = np.minimum(scaled, 1)
    return [float(p) for p in corrected]
