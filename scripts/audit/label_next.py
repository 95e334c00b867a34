"""What to label next: patients without label maps, ranked so that the first few of them teach most."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cohort.case import Case
from ..files import write_text
from ..printable import plain_cell
from .comparison import Floats
from .examples import Examples
from .measures import MEASURES
from .scan import LABEL, MAP, OPINION

NEXT_COLUMNS = ("rank", "patient", "cases", "distance", "expected_dice")
EMBEDDINGS, MEASURED = "embeddings", "size, place and intensity"
BOTH = "coverage and doubt"
CRITERIA = ("coverage", "doubt", BOTH)


@dataclass(frozen=True)
class NextPatient:
    """A patient to be labelled.

    Args:
        patient: the patient.
        cases: ids of the scans.
        distance: to the nearest patient that is labelled or ranked before, 1 for that of a typical pair.
        expected_dice: of the maps that the scans have, mean; None where it is not known.
    """

    patient: str
    cases: tuple[str, ...]
    distance: float
    expected_dice: float | None


@dataclass(frozen=True)
class LabelNext:
    """The ranking.

    Args:
        patients: in the order in which they should be labelled.
        rests_on: ``EMBEDDINGS`` or ``MEASURED``.
        without_map: ids of unlabelled scans that have no map to rank them by.
    """

    patients: list[NextPatient]
    rests_on: str
    without_map: tuple[str, ...]

    @property
    def content(self) -> dict[str, object]:
        """The ranking as plain data."""
        rows = [
            {"patient": one.patient, "cases": list(one.cases), "distance": round(one.distance, 4),
             "expected_dice": one.expected_dice}
            for one in self.patients
        ]  # fmt: skip
        return {"rests_on": self.rests_on, "without_map": list(self.without_map), "patients": rows}

    def write(self, path: Path) -> None:
        """Write the ranking as CSV with the columns ``NEXT_COLUMNS``."""
        text = io.StringIO()
        rows = [
            (rank, plain_cell(one.patient), plain_cell(" ".join(one.cases)), f"{one.distance:.3f}",
             "" if one.expected_dice is None else f"{one.expected_dice:.3f}")
            for rank, one in enumerate(self.patients, start=1)
        ]  # fmt: skip
        csv.writer(text, lineterminator="\n").writerows([NEXT_COLUMNS, *rows])
        write_text(path, text.getvalue())


def label_next(
    found: Examples, cases: Collection[Case], expected: dict[str, float], criterion: str = BOTH
) -> LabelNext | None:
    """The patients of unlabelled scans, ranked one after the other; None where every scan has a label map.

    The next patient is the one with the largest product of the distance to the nearest patient that is labelled or
    ranked before (coverage; Sener and Savarese, ICLR 2018) and of 1 - expected Dice (doubt). Scans are compared organ
    by organ: by their embeddings where there are any, else by their measures; labelled scans by their attention maps
    where there are any, since the others have no better ones.

    Args:
        found: the objects of all cases.
        cases: the cohort.
        expected: case -> expected Dice of its map, as far as it is known.
        criterion: one of ``CRITERIA``.
    """
    waiting = [case for case in cases if case.label is None]
    if not waiting:
        return None
    scans = {case.id: case for case in cases}
    objects = _compared_objects(found, {case.id for case in waiting})
    names, features = scan_features(objects)
    open_rows = {case.id: names.index(case.id) for case in waiting if case.id in names}
    apart = _distances(features)
    doubt = _doubts(names, expected)
    covered = [row for row, name in enumerate(names) if name not in open_rows]
    nearest = apart[:, covered].min(1) if covered else np.ones(len(names))
    by_patient: dict[str, list[int]] = {}
    for name, row in open_rows.items():
        by_patient.setdefault(scans[name].patient, []).append(row)
    ranked: list[NextPatient] = []
    while by_patient:
        worth = {"coverage": nearest, "doubt": doubt, BOTH: nearest * doubt}[criterion]
        patient = max(by_patient, key=lambda one: max(worth[by_patient[one]]))
        rows = by_patient.pop(patient)
        dice = [expected[names[row]] for row in rows if names[row] in expected]
        ids = tuple(names[row] for row in rows)
        mean = round(float(np.mean(dice)), 4) if dice else None
        ranked.append(NextPatient(patient, ids, max(nearest[rows].tolist()), mean))
        nearest = np.minimum(nearest, apart[:, rows].min(1))
    rests_on = EMBEDDINGS if objects.vectors.size else MEASURED
    return LabelNext(ranked, rests_on, tuple(case.id for case in waiting if case.id not in open_rows))


def _compared_objects(found: Examples, waiting: Collection[str]) -> Examples:
    """One map of each scan: of those that wait the given one, of labelled ones the attention map before the label."""
    plain, unlabelled = found.kinds == "", np.isin(found.cases, list(waiting))
    with_opinion = np.unique(found.cases[found.sources == OPINION])
    labelled = np.where(np.isin(found.cases, with_opinion), found.sources == OPINION, found.sources == LABEL)
    chosen: np.ndarray = plain & np.where(unlabelled, found.sources == MAP, labelled)
    return found[chosen]


def scan_features(objects: Examples) -> tuple[list[str], Floats]:
    """Case ids and features (N, F) of the scans, standardised; organs that a scan lacks are taken to be as usual."""
    names, organs = np.unique(objects.cases).tolist(), np.unique(objects.organs).tolist()
    values = objects.vectors.mean(1).astype(float) if objects.vectors.size else objects.measures[:, : len(MEASURES)]
    made = np.full((len(names), len(organs), values.shape[1]), np.nan)
    made[[names.index(one) for one in objects.cases], [organs.index(one) for one in objects.organs]] = values
    if not names:
        return names, made.reshape(0, -1)
    middle = np.nanmean(made, 0)
    spread = np.nanstd(made, 0)
    scaled = (made - middle) / np.maximum(spread, 1e-6)
    return names, np.nan_to_num(scaled, nan=0.0).reshape(len(names), -1)


def _distances(features: Floats) -> Floats:
    """Euclidean distances (N, N) of scans over the median of all pairs."""
    apart = np.sqrt(np.maximum(((features[:, None] - features[None]) ** 2).sum(2), 0))
    pairs = apart[np.triu_indices(len(apart), 1)]
    typical = float(np.median(pairs)) if pairs.size else 1.0
    scaled: Floats = apart / max(typical, 1e-9)
    return scaled


def _doubts(names: Sequence[str], expected: dict[str, float]) -> Floats:
    """1 - expected Dice of each scan's map; where that is not known, as much as of the others on average."""
    known = {name: 1 - value for name, value in expected.items()}
    usual = float(np.mean(list(known.values()))) if known else 1.0
    return np.array([max(known.get(name, usual), 1e-3) for name in names])
