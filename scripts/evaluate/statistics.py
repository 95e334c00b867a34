"""Two methods compared on the same patients: means, intervals, tests and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from .metrics import BY_NAME, Metric
from .rows import Row
from .step_down import EXACT, RESAMPLES, Values, max_t
from .verdict import EQUIVALENCE, verdict

MANY = 200  # the signed-rank test is exact for up to this many patients
LEVEL = 0.05
ALL = "all organs"


@dataclass(frozen=True)
class Comparison:
    """Two methods paired by patient, for one organ or all of them.

    ``difference`` is the second method's mean minus the first's; ``low`` and ``high`` bound it (95 %, t over patients,
    None for one patient). ``effect`` is the matched-pairs rank-biserial correlation, -1 to 1: the share of the rank sum
    held by differences upwards minus the share held by those downwards (Kerby, Comprehensive Psychology 3:11.IT.3.1,
    2014). ``p`` comes from the Wilcoxon signed-rank test, as papers report it, ``p_permutation`` from the sign-flipping
    test of the mean, and ``p_corrected`` from the same for all organs together (step-down max-T); None for all organs
    together, and all None where no patient differs. ``equivalence`` is the largest difference that means nothing in
    practice, 0 for a metric with a unit.
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
    p_corrected: float | None
    equivalence: float

    @property
    def better(self) -> bool:
        """Whether the second method's mean is better."""
        return self.difference * BY_NAME[self.metric].sign > 0

    @property
    def verdict(self) -> str:
        """Better, worse, equivalent or undecided, in words: by the interval, and for an organ the corrected p too."""
        if self.low is None or self.high is None:
            return "undecided (one patient: variation between patients unknown)"
        significant = self.organ == ALL or (self.p_corrected is not None and self.p_corrected < LEVEL)
        sign = BY_NAME[self.metric].sign
        return verdict(self.low, self.high, significant=significant, equivalence=self.equivalence, sign=sign)


def compare_methods(
    rows: Sequence[Row],
    first: str,
    second: str,
    organs: Sequence[str],
    metric: Metric,
    equivalence: float = EQUIVALENCE,
) -> list[Comparison]:
    """Compare ``second`` with ``first``: one line for all organs together (``ALL``), then one per organ.

    The unit is the patient: scans of one patient are averaged first; for all organs together, a patient's organs then.
    """
    kept = [row for row in rows if row.metric == metric.name and row.method in (first, second)]
    region = 0.0 if metric.unit else equivalence
    overall = _compare_organ(ALL, kept, first, second, metric, region)
    found = [
        _compare_organ(organ, [row for row in kept if row.organ == organ], first, second, metric, region)
        for organ in organs
    ]
    each = [line for line in found if line is not None]
    by_organ = scan_means(_pairs(kept, first, second))
    pairs = [[by_patient.get(line.organ, (0.0, np.nan)) for line in each] for by_patient in by_organ.values()]
    corrected = max_t(np.diff(np.array(pairs).reshape(len(pairs), len(each), 2))[..., 0])
    organ_lines = [replace(line, p_corrected=p) for line, p in zip(each, corrected, strict=True)]
    return ([overall] if overall else []) + organ_lines


def _compare_organ(
    organ: str, rows: Sequence[Row], first: str, second: str, metric: Metric, equivalence: float
) -> Comparison | None:
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
        p_corrected=None,
        equivalence=equivalence,
    )


def paired(rows: Sequence[Row], first: str, second: str) -> Values:
    """Values (patients, 2) of two methods, averaged over a patient's scans, then organs; only those both have."""
    return np.array(list(patient_means(_pairs(rows, first, second)).values())).reshape(-1, 2)


def _pairs(rows: Sequence[Row], first: str, second: str) -> list[tuple[str, str, Values]]:
    """Patient, organ and both methods' values, of each scan's organs that both have."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    patient = {row.case: row.patient for row in rows}
    for row in rows:
        values.setdefault((row.case, row.organ), {})[row.method] = row.value
    return [
        (patient[case], organ, np.array([found[first], found[second]]))
        for (case, organ), found in values.items()
        if first in found and second in found
    ]


def scan_means(measured: Iterable[tuple[str, str, Values | float]]) -> dict[str, dict[str, Values]]:
    """Patient -> organ -> mean over scans, of (patient, organ, value) for each scan's organs, in order of appearance.

    A value is a number or an array, such as one number for each method or seed.
    """
    values: dict[str, dict[str, list[Values | float]]] = {}
    for patient, organ, value in measured:
        values.setdefault(patient, {}).setdefault(organ, []).append(value)
    return {patient: {organ: _mean(found) for organ, found in organs.items()} for patient, organs in values.items()}


def patient_means(measured: Iterable[tuple[str, str, Values | float]]) -> dict[str, Values]:
    """Patient -> mean over organs of the mean over scans, so that an organ counts once however often it was scanned."""
    return {patient: _mean(list(organs.values())) for patient, organs in scan_means(measured).items()}


def _mean(values: Sequence[Values | float]) -> Values:
    return np.asarray(np.mean([np.asarray(value, float) for value in values], axis=0))


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
    """95 % interval of the mean difference over patients, by t; None for a single patient.

    A percentile bootstrap's covers the mean in only 3 of 4 studies of 3 patients, and 9 of 10 of 9.
    """
    if len(difference) < 2:
        return None, None
    reach = stats.t.ppf(1 - LEVEL / 2, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    return float(difference.mean() - reach), float(difference.mean() + reach)
