"""Objects beside those of other patients: how far each number is from the usual, and what the embeddings resemble."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .examples import Examples
from .measures import AGREEMENT, MEASURE_GROUPS, MEASURES

FEWEST_OTHERS = 3  # objects of an organ in other patients, without which there is no verdict
ENOUGH_OF_PHASE = 5  # of its phase, with which intensities are compared within the phase
NEAREST = 10  # neighbours that are looked at
PRIOR_OBJECTS = 4  # objects that the spread common to all organs counts as much as
FARTHEST = 12.0  # deviations beyond it are as good as infinite
MAD_TO_SD = 1.4826  # standard deviations of a normal distribution in a median absolute deviation
PHASED = [MEASURES.index(name) for name in MEASURE_GROUPS["intensity"]]  # compared within the phase
EMBEDDED = ("own", "own_least", "other", "margin", "margin_least", "same", "same_least")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """Features of N objects, in columns.

    Args:
        names: of the F features.
        values: (N, F); NaN where there is nothing to compare with.
        enough: (N,) whether other patients have enough objects of that organ.
        resembles: (N,) the other organ whose queries in other patients each object resembles most; empty for none.
        nearest: (N, 3) rows of the reference that resemble each object most, of its organ and other patients; -1 for
            none.
    """

    names: tuple[str, ...]
    values: Floats
    enough: NDArray[np.bool_]
    resembles: NDArray[np.str_]
    nearest: NDArray[np.int64]

    def column(self, name: str) -> Floats:
        """(N,) one feature; NaN where it was not computed."""
        known = name in self.names
        return self.values[:, self.names.index(name)] if known else np.full(len(self.values), np.nan)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> Compared:
        """The features of some objects."""
        parts = (self.values[chosen], self.enough[chosen], self.resembles[chosen], self.nearest[chosen])
        return Compared(self.names, *parts)

    def group(self, *groups: str) -> Floats:
        """(N, F') the columns of some groups: "plain", "embedding", "agreement"."""
        return self.values[:, [name.split(":")[0] in groups for name in self.names]]


def compare_with(objects: Examples, reference: Examples) -> Compared:
    """The features of objects, from the objects of a reference that belong to other patients.

    Each measure becomes its distance from the median in robust standard deviations of that organ.
    """
    deviations = np.full((len(objects), len(MEASURES) + 1), np.nan)
    enough = np.zeros(len(objects), bool)
    common = _common_spreads(reference)
    numbers, known = objects.measures[:, : len(MEASURES)], reference.measures[:, : len(MEASURES)]
    for patient, organ, phase in sorted(set(zip(objects.patients, objects.organs, objects.phases, strict=True))):
        own = (objects.patients == patient) & (objects.organs == organ) & (objects.phases == phase)
        others = (reference.patients != patient) & (reference.organs == organ)
        if others.sum() < FEWEST_OTHERS:
            continue
        enough |= own
        of_phase = others & (reference.phases == phase)
        middle, spread = _usual(known[others])
        if of_phase.sum() >= ENOUGH_OF_PHASE:
            middle[PHASED], spread[PHASED] = _usual(known[of_phase][:, PHASED])
        count = int(others.sum())
        width = np.sqrt((count * spread**2 + PRIOR_OBJECTS * common**2) / (count + PRIOR_OBJECTS))
        deviations[own, :-1] = (numbers[own] - middle) / np.maximum(width, 1e-6)
        usual = reference.contacts[others].mean(0)
        apart = np.abs(reference.contacts[others] - usual).sum(1)
        deviations[own, -1] = (np.abs(objects.contacts[own] - usual).sum(1) - np.median(apart)) / (apart.std() + 0.05)
    deviations = np.clip(deviations, -FARTHEST, FARTHEST)
    names = [f"plain:{name}" for name in (*MEASURES, "contact")]
    parts, found = [deviations], Resemblance.none(len(objects))
    largest = np.sort(np.abs(np.nan_to_num(deviations)), axis=1)[:, ::-1]
    parts.append(np.column_stack([largest[:, 0], largest[:, :3].mean(1), largest[:, :8].mean(1)]))
    names += ["plain:largest", "plain:largest_3", "plain:largest_8"]
    parts.append(objects.measures[:, len(MEASURES) :])
    names += [f"agreement:{name}" for name in AGREEMENT]
    if objects.vectors.size:
        found = resemblance(objects, reference)
        parts.append(_standardised(found.values, objects, reference))
        names += [f"embedding:{name}" for name in EMBEDDED]
        parts.append(found.values)
        names += [f"embedding:raw_{name}" for name in EMBEDDED]
    return Compared(tuple(names), np.column_stack(parts), enough, found.other, found.nearest)


def _usual(values: Floats) -> tuple[Floats, Floats]:
    """The median and the robust standard deviation of each column."""
    middle = np.median(values, 0)
    return middle, MAD_TO_SD * np.median(np.abs(values - middle), 0)


def _common_spreads(reference: Examples) -> Floats:
    """Each measure's robust standard deviation within organs, averaged over organs."""
    values = reference.measures[:, : len(MEASURES)]
    organs = np.unique(reference.organs)
    if not len(organs):
        return np.ones(len(MEASURES))
    common: Floats = np.mean([_usual(values[reference.organs == organ])[1] for organ in organs], 0)
    return common


@dataclass(frozen=True)
class Resemblance:
    """What N objects resemble.

    Args:
        values: (N, 7), columns ``EMBEDDED``.
        other: (N,) the other organ they resemble most.
        nearest: (N, 3) rows of the reference: the most similar objects of the same organ.
    """

    values: Floats
    other: NDArray[np.str_]
    nearest: NDArray[np.int64]

    @classmethod
    def none(cls, count: int) -> Resemblance:
        """Of objects without embeddings."""
        return cls(np.full((count, len(EMBEDDED)), np.nan), np.full(count, "", dtype="<U100"), np.full((count, 3), -1))


def resemblance(objects: Examples, reference: Examples) -> Resemblance:
    """What objects resemble among those of other patients.

    A query's similarity with an organ is the mean cosine of the 3 most similar queries of that organ in other patients;
    vectors are centred first, since all have much in common. Of an object's queries the mean and the least count.
    """
    count, each, width = objects.vectors.shape
    centre = reference.vectors.reshape(-1, width).mean(0)
    queries, known = (_unit(vectors.reshape(-1, width) - centre) for vectors in (objects.vectors, reference.vectors))
    names, organs = np.unique(reference.organs), np.repeat(reference.organs, each)
    number, made = np.searchsorted(names, organs), Resemblance.none(count)
    for patient in np.unique(objects.patients):
        mine = np.flatnonzero(objects.patients == patient)
        cosines = queries.reshape(count, each, width)[mine].reshape(-1, width) @ known.T
        cosines[:, np.repeat(reference.patients == patient, each)] = -2
        similar = np.stack([_nearest_mean(cosines[:, number == organ]) for organ in range(len(names))], axis=1)
        order = np.argsort(-cosines, axis=1)[:, :NEAREST]
        for row, item in enumerate(mine):
            rows = slice(row * each, (row + 1) * each)
            organ = objects.organs[item]
            if organ not in names:
                continue
            own, others = similar[rows, names == organ].ravel(), similar[rows][:, names != organ]
            other = others.max(1) if others.size else np.full(each, -1.0)
            apart, share = own - other, (organs[order[rows]] == organ).mean(1)
            ends = (own.mean(), own.min(), other.mean(), apart.mean(), apart.min(), share.mean(), share.min())
            made.values[item] = ends
            if others.size:
                made.other[item] = names[names != organ][others.mean(0).argmax()]
            made.nearest[item] = _most_similar(cosines[rows], reference, str(organ), patient, each)
    return made


def _nearest_mean(cosines: Floats) -> Floats:
    """The mean of each row's 3 largest cosines; -1 for what other patients do not have."""
    best = -np.sort(-cosines, axis=1)[:, :3]
    mean: Floats = np.where(best > -2, best, -1).mean(1)
    return mean


def _most_similar(cosines: Floats, reference: Examples, organ: str, patient: str, each: int) -> NDArray[np.int64]:
    """Rows (3,) of the reference that are most similar to an object, of its organ and other patients."""
    mean = cosines.reshape(len(cosines), -1, each).max(2).mean(0)
    allowed = (reference.organs == organ) & (reference.patients != patient)
    order = np.argsort(-np.where(allowed, mean, -np.inf))[: min(3, int(allowed.sum()))]
    found = np.full(3, -1)
    found[: len(order)] = order
    return found


def _standardised(values: Floats, objects: Examples, reference: Examples) -> Floats:
    """Similarities in robust standard deviations of those that the reference's own objects have, by organ."""
    usual = resemblance(reference, reference).values
    made = np.full(values.shape, np.nan)
    for organ in np.unique(objects.organs):
        own, others = objects.organs == organ, usual[reference.organs == organ]
        if len(others) < FEWEST_OTHERS:
            continue
        middle = np.nanmedian(others, 0)
        width = np.maximum(MAD_TO_SD * np.nanmedian(np.abs(others - middle), 0), 0.02)
        made[own] = np.clip((values[own] - middle) / width, -FARTHEST, FARTHEST)
    return made


def _unit(vectors: NDArray[np.floating]) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: Floats = vectors / np.maximum(lengths, 1e-12)
    return made
