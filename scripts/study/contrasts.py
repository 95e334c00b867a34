"""Contrasts: which arms are compared, one with another or with the best of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluate.statistics import LEVEL
from ..evaluate.step_down import Values
from .crossed import TINY, Estimate, estimate

POWER = 0.8  # of the smallest difference that could have been detected


@dataclass(frozen=True)
class Contrast:
    """An arm, ``first``, minus another or minus the best of several, ``second``."""

    first: str
    second: tuple[str, ...]

    @property
    def name(self) -> str:
        """``semantic - scratch`` or ``semantic - best(dynunet, multiclass)``."""
        others = ", ".join(self.second)
        return f"{self.first} - {others if len(self.second) == 1 else f'best({others})'}"

    @classmethod
    def named(cls, name: str) -> Contrast:
        """The contrast of a name."""
        first, _, others = name.partition(" - ")
        best = others.startswith("best(") and others.endswith(")")
        return cls(first, tuple(others[5:-1].split(", ")) if best else (others,))

    def against(self, arm: str) -> str:
        """Which of the arms compared with an arm is, in words."""
        return arm if len(self.second) == 1 else f"{arm}, the best of {len(self.second)}"


@dataclass(frozen=True)
class Assessment:
    """A contrast in numbers: 95 % interval, two-sided p, the chances of each region, and what could be detected.

    ``against`` is the best of the arms compared with, by its mean; ``detectable`` is the smallest difference that would
    have been found four times in five, corrected as if no other contrast were found.
    """

    against: str
    difference: float
    low: float
    high: float
    p: float
    better: float
    worse: float
    detectable: float

    @property
    def equivalent(self) -> float:
        """The chance that the difference is in the region of equivalence."""
        return max(1 - self.better - self.worse, 0.0)


def assess(
    values: Values, arms: Sequence[str], families: Sequence[str], contrast: Contrast, equivalence: float, tests: int = 1
) -> Assessment:
    """Test one contrast of values (arms, seeds, patients), at least two seeds and patients; one of ``tests``.

    Against the best of k arms it is an intersection-union test. To be better than the best is to be better than each:
    p is the largest of the one-by-one p. To be worse than the best is to be worse than one of them, whichever that is:
    p is the smallest, times k. The interval is that of the smallest difference, by the same reasoning. The chances of
    the regions better (above ``equivalence``), equivalent and worse are those of t with the difference as location, its
    error as scale and its degrees of freedom, as in the correlated t-test of baycomp, where a flat prior gives the same
    (Benavoli, Corani, Demsar and Zaffalon, JMLR 18(77):1-36, 2017); against several, the least of being better.
    """
    each = [_estimate(values, arms, families, contrast.first, other) for other in contrast.second]
    closest = int(np.argmin([float(one.difference) for one in each]))
    above, below = max(float(one.below(0)) for one in each), min(float(one.above(0)) for one in each) * len(each)
    tail = LEVEL / 2
    return Assessment(
        against=contrast.second[closest],
        difference=float(each[closest].difference),
        low=min(float(one.difference - one.reach(tail)) for one in each),
        high=min(float(one.difference + one.reach(tail / len(each))) for one in each),
        p=max(min(1.0, 2 * min(above, below)), TINY),
        better=min(float(one.above(equivalence)) for one in each),
        worse=max(float(one.below(-equivalence)) for one in each),
        detectable=max(float(one.detectable(LEVEL / tests, POWER)) for one in each),
    )


def _estimate(values: Values, arms: Sequence[str], families: Sequence[str], first: str, second: str) -> Estimate:
    weights = np.zeros(len(arms))
    weights[arms.index(first)], weights[arms.index(second)] = 1, -1
    return estimate(values, weights.tolist(), families)
