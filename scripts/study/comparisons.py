"""The comparisons of a study: contrasts named before the run and exploratory ones, corrected, with their verdicts.

``compare_contrasts`` takes all tables of a study together, since its correction (Holm) is over all of them;
``compare_organs`` takes one contrast apart by organ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..evaluate.statistics import LEVEL
from ..evaluate.step_down import Values, holm
from ..evaluate.verdict import EQUIVALENCE, verdict
from .contrasts import Assessment, Contrast, assess
from .crossed import fold_means

FEW_SEEDS, LEAST_P = 5, 0.01  # fewer seeds than these can claim no p below this


@dataclass(frozen=True)
class Measured:
    """One table of one quantity: every arm, seed and patient.

    Args:
        table: the table's name, such as ``10 % of the labels, budget 1``.
        arms: names of the arms.
        values: (arms, seeds, patients); a patient's value is the mean over organs of the mean over scans.
        families: arm -> its family, for arms whose errors are pooled (see ``crossed``); arms it lacks are one family.
        folds: the fold of each patient, in which all of a fold share networks; None for one test set.
        organs: organ -> (arms, seeds, patients) in the same order, NaN where a patient lacks the organ.
    """

    table: str
    arms: Sequence[str]
    values: Values
    families: Mapping[str, str] = field(default_factory=dict)
    folds: Sequence[int] | None = None
    organs: Mapping[str, Values] = field(default_factory=dict)

    @property
    def family_names(self) -> list[str]:
        """The family of each arm."""
        return [self.families.get(arm, "") for arm in self.arms]


@dataclass(frozen=True)
class Difference:
    """A contrast in one table, of all organs together or of one.

    ``tested`` is None with one seed, one patient or one fold. ``p`` and ``p_corrected`` (Holm) are two-sided, and at
    least 0.01 with fewer than five seeds; ``significant`` is by the corrected one. ``named``: before the run, otherwise
    exploratory.
    """

    contrast: Contrast
    table: str
    organ: str | None
    named: bool
    difference: float
    tested: Assessment | None
    p_corrected: float | None
    seeds: int
    patients: int
    equivalence: float

    @property
    def p(self) -> float | None:
        """The p by itself."""
        return None if self.tested is None else self.at_least(self.tested.p)

    @property
    def least_p(self) -> float:
        """The smallest p that so many seeds can claim."""
        return LEAST_P if self.seeds < FEW_SEEDS else 0.0

    @property
    def significant(self) -> bool:
        """Whether the corrected p is below 5 %."""
        return self.p_corrected is not None and self.p_corrected < LEVEL

    @property
    def verdict(self) -> str:
        """Better, worse, equivalent or undecided, in words."""
        if self.tested is None:
            what = "seed: variation in training" if self.seeds < 2 else "patient or fold: variation in patients"
            return f"undecided (one {what} unknown)"
        low, high = self.tested.low, self.tested.high
        return verdict(low, high, significant=self.significant, equivalence=self.equivalence)

    @property
    def p_note(self) -> str:
        """What limits the p, in words; empty where nothing does."""
        if self.tested is None or self.tested.p >= self.least_p:
            return ""
        return f"p not below {LEAST_P:g}: fewer than {FEW_SEEDS} seeds"

    def at_least(self, p: float) -> float:
        """A p raised to the smallest that so many seeds can claim."""
        return max(p, self.least_p)


def compare_contrasts(
    tables: Sequence[Measured],
    named: Sequence[Contrast],
    exploratory: Sequence[Contrast] = (),
    equivalence: float = EQUIVALENCE,
    missing: int = 0,
) -> list[Difference]:
    """Compare arms in all tables of a study; named contrasts are corrected together, and exploratory ones together.

    A contrast is left out of a table that lacks one of its arms. An exploratory contrast counts once, and not at
    all where it is also named.

    Args:
        tables: all tables of the study.
        named: the contrasts that were named before the run.
        exploratory: all others.
        equivalence: the largest difference that means nothing in practice.
        missing: tables that the study was started with and that are not here; the named contrasts of those count as
            tests that found nothing.
    """
    others = [contrast for contrast in dict.fromkeys(exploratory) if contrast not in named]
    found: list[Difference] = []
    for contrasts, are_named in ((named, True), (others, False)):
        pairs = [
            (measured, contrast)
            for measured in tables
            for contrast in contrasts
            if {contrast.first, *contrast.second} <= set(measured.arms)
        ]
        more = missing * len(contrasts) if are_named else 0
        found += _corrected(
            (
                _difference(measured, measured.values, contrast, None, are_named, equivalence, len(pairs) + more)
                for measured, contrast in pairs
            ),
            more,
        )
    return found


def compare_organs(measured: Measured, contrast: Contrast, equivalence: float = EQUIVALENCE) -> list[Difference]:
    """Compare arms in each organ of a table, corrected over organs; exploratory.

    Max-T by sign flips over patients, which the report of one run uses, would be of no help: it takes the mean over
    seeds as it is, and with three seeds and 104 patients calls some organ different in nearly every study in which none
    is. Pooled errors leave enough degrees of freedom for Holm's correction.
    """
    return _corrected(
        _difference(measured, values, contrast, organ, False, equivalence, len(measured.organs))
        for organ, values in measured.organs.items()
    )


def _difference(
    measured: Measured,
    values: Values,
    contrast: Contrast,
    organ: str | None,
    named: bool,
    equivalence: float,
    tests: int,
) -> Difference:
    has = ~np.isnan(values).any((0, 1))
    kept = values[..., has]
    seeds, patients = kept.shape[1:]
    units = kept if measured.folds is None else fold_means(kept, np.asarray(measured.folds)[has].tolist())
    tested = None
    if min(units.shape[1:]) > 1:
        tested = assess(units, measured.arms, measured.family_names, contrast, equivalence, tests)
        difference = tested.difference
    else:
        means = dict(zip(measured.arms, units.mean((1, 2)), strict=True)) if patients else {}
        difference = float(means[contrast.first] - max(means[arm] for arm in contrast.second)) if means else np.nan
    return Difference(contrast, measured.table, organ, named, difference, tested, None, seeds, patients, equivalence)


def _corrected(differences: Iterable[Difference], more: int = 0) -> list[Difference]:
    """With p corrected by Holm over all of them; those without a p count as tests too, and so do ``more`` others."""
    listed = list(differences)
    corrected = holm([*(1.0 if one.tested is None else one.tested.p for one in listed), *[1.0] * more])
    return [
        one if one.tested is None else replace(one, p_corrected=one.at_least(p))
        for one, p in zip(listed, corrected, strict=False)
    ]
