"""The error of a difference between arms that have all been run with the same seeds on the same patients.

The model: arms are fixed; seed, patient, arm:seed and arm:patient are random and crossed, and a rest is left over. It
is the analysis of readers and cases in diagnostic studies (Dorfman, Berbaum and Metz, Investigative Radiology
27(9):723-731, 1992; Hillis, Statistics in Medicine 26(3):596-619, 2007), with a seed for a reader. Whatever all arms
share with a seed (the labelled patients it draws) or with a patient cancels in a difference; arm:seed and arm:patient
do not. Both are pooled over all arms of a family, so degrees of freedom grow with the number of arms.

Arms of one family must vary alike and share the same things: refiners that start from one coarse run are a family,
whole-slice networks, which do not, are another, and the coarse map is one of its own. Two families differ also by what
each shares within itself, which only the seeds themselves can tell, with seeds - 1 degrees of freedom. Arms of a family
that are the same network (self-training where there is nothing to teach itself by) count once.

With folds, the patients of a fold share their networks. Then a fold takes a patient's place: values are averaged over
its patients first, and each fold counts by its size (``fold_means``), so that a difference is that of patients' means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..evaluate.step_down import Values

TINY = float(np.finfo(float).tiny)  # no p is 0


@dataclass(frozen=True)
class Estimate:
    """A difference, its standard error and degrees of freedom; arrays where many studies are estimated at once."""

    difference: Values
    error: Values
    degrees: Values

    def below(self, bound: float) -> Values:
        """The chance that the true difference is below a bound; at 0 it is also the one-sided p of "above 0"."""
        return self._chance(bound - self.difference)

    def above(self, bound: float) -> Values:
        """The chance that the true difference is above a bound; at 0 it is also the one-sided p of "below 0"."""
        return self._chance(self.difference - bound)

    def _chance(self, distance: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(stats.t.cdf(np.nan_to_num(distance / self.error), self.degrees))

    def reach(self, tail: float) -> Values:
        """How far the interval reaches to one side if ``tail`` of the chances lie beyond it."""
        return np.asarray(stats.t.ppf(1 - tail, self.degrees) * self.error)

    def detectable(self, level: float, power: float) -> Values:
        """The smallest difference that a two-sided test at a level finds with a power, given this error."""
        factor = stats.t.ppf(1 - level / 2, self.degrees) + stats.t.ppf(power, self.degrees)
        return np.asarray(factor * self.error)


def estimate(values: Values, weights: Sequence[float], families: Sequence[str] | None = None) -> Estimate:
    """The weighted sum of arms' means, with its error.

    With the mean squares of arm:seed A, arm:patient B and the rest C, the variance is (A + E) / (S P) with
    E = max(B - C, 0), and degrees of freedom follow Satterthwaite's formula with A and E as its terms: with B and C
    apart it approaches 0 degrees where they nearly cancel.

    Args:
        values: (..., arms, seeds, patients), at least two seeds and patients; axes before these are studies.
        weights: a weight for each arm, such as 1, -1 and 0; their sum is 0.
        families: the family of each arm; None for one family.
    """
    seeds, patients = values.shape[-2:]
    parts = _parts(*_without_copies(values, np.asarray(weights, float), families or [""] * values.shape[-3]))
    of_seeds = sum(squares[0] for squares, _ in parts)
    of_patients = sum(squares[1] for squares, _ in parts)
    excess = np.maximum(of_patients - sum(squares[2] for squares, _ in parts), 0.0)
    seeds_part = sum(squares[0] ** 2 / (count * (seeds - 1)) for squares, count in parts)
    patients_part = sum(squares[1] ** 2 / (count * (patients - 1)) for squares, count in parts)
    total = np.asarray(of_seeds + excess)
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = total**2 / (seeds_part + np.nan_to_num((excess / of_patients) ** 2) * patients_part)
    return Estimate(
        difference=np.einsum("...asp,a->...", values, np.asarray(weights, float)) / (seeds * patients),
        error=np.sqrt(total / (seeds * patients)),
        degrees=np.where(total > 0, degrees, min(seeds, patients) - 1),
    )


def _without_copies(
    values: Values, weights: Values, families: Sequence[str]
) -> tuple[Values, Values, NDArray[np.str_]]:
    """Arms, weights and families where arms of a family with the same values are one, with the sum of their weights."""
    kept: list[int] = []
    of = np.zeros((values.shape[-3], values.shape[-3]))
    for arm, family in enumerate(families):
        alike = (
            place
            for place, other in enumerate(kept)
            if families[other] == family and np.array_equal(values[..., arm, :, :], values[..., other, :, :])
        )
        place = next(alike, len(kept))
        kept += [arm] * (place == len(kept))
        of[place, arm] = 1
    return values[..., kept, :, :], (of @ weights)[: len(kept)], np.asarray([families[arm] for arm in kept])


def _parts(values: Values, weights: Values, families: NDArray[np.str_]) -> list[tuple[tuple[Values, ...], int]]:
    """The independent parts of a weighted sum: mean squares (seeds, patients, rest) and the contrasts each pools."""
    parts, between = [], np.zeros_like(values[..., 0, :, :])
    for family in np.unique(families):
        own, arms = weights[families == family], values[..., families == family, :, :]
        shared = arms.mean(-3)
        between = between + own.sum() * shared
        spread = float(((own - own.mean()) ** 2).sum())
        if spread > 0:
            count = len(own) - 1
            squares = _mean_squares(arms - shared[..., None, :, :])
            parts.append((tuple(spread / count * square for square in squares), count))
    if any(weights[families == family].sum() for family in np.unique(families)):
        parts.append((_mean_squares(between[..., None, :, :]), 1))
    return parts


def _mean_squares(arms: Values) -> tuple[Values, Values, Values]:
    """Mean squares of arm:seed, arm:patient and the rest, summed over arms (..., arms, seeds, patients)."""
    seeds, patients = arms.shape[-2:]
    mean = arms.mean((-2, -1), keepdims=True)
    by_seed, by_patient = arms.mean(-1, keepdims=True) - mean, arms.mean(-2, keepdims=True) - mean
    of_seeds, of_patients = patients * (by_seed**2).sum((-3, -2, -1)), seeds * (by_patient**2).sum((-3, -2, -1))
    total = ((arms - mean) ** 2).sum((-3, -2, -1))
    rest = np.maximum(total - of_seeds - of_patients, 0.0)
    return of_seeds / (seeds - 1), of_patients / (patients - 1), rest / ((seeds - 1) * (patients - 1))


def fold_means(values: Values, folds: Sequence[int]) -> Values:
    """Values (..., folds): the mean of each fold's patients, in the order of the folds' numbers.

    How far it lies from the mean of all patients counts by the fold's size, relative to the mean size: so the mean over
    folds is the mean over patients, and what all patients have in common does not vary between folds.
    """
    known = np.asarray(folds)
    numbers, sizes = np.unique(known, return_counts=True)
    means = np.stack([values[..., known == fold].mean(-1) for fold in numbers], -1)
    overall = values.mean(-1, keepdims=True)
    found: Values = overall + (means - overall) * (sizes / sizes.mean())
    return found
