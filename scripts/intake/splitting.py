"""The split of a cohort by patient: testing cases, and folds of the others for cross-fitting."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..cohort.case import Case
from ..errors import SemclError
from ..printable import counted
from .case_table import TEST
from .layouts.scan import Scan

Sides = Mapping[str, int | None]  # patient -> fold, None for testing


class Split(NamedTuple):
    """The numbers that patients are split by: arguments of ``split``."""

    folds: int
    test_share: float
    seed: int


def split(
    cases: Sequence[Case],
    folds: int,
    test_share: float,
    seed: int,
    unlabelled: Collection[str] = (),
    known: Sides | None = None,
) -> list[Case]:
    """Assign each case a fold, or None for testing; by patient, so that no patient is on two sides.

    Args:
        cases: of the cohort.
        folds: parts of the training patients.
        test_share: share of the patients kept for testing.
        seed: of the order in which patients are assigned.
        unlabelled: ids of cases without label maps; a patient who has no other is trained on, and changes no other's
            side.
        known: sides that patients had in the cohort before, which they keep.

    Raises:
        SemclError: for numbers that give no split, or fewer training patients than folds.
    """
    if folds < 2 or not 0 <= test_share < 1:
        raise SemclError(
            "patients cannot be split like that",
            found=f"{folds} folds, a test share of {test_share}",
            expected="at least 2 folds, a test share from 0 to below 1",
            remedy="change --folds or --test_share",
        )
    side = dict(known or {})
    measured = {case.patient for case in cases if case.id not in unlabelled}
    new = sorted(measured - side.keys())
    random.Random(seed).shuffle(new)
    tested = max(round(len(measured) * test_share) - sum(side.get(one, 0) is None for one in measured), 0)
    side |= dict.fromkeys(new[:tested])
    _spread(new[tested:], measured, side, folds)
    trained = sum(side[patient] is not None for patient in measured)
    if measured and trained < folds:
        raise SemclError(
            "too few patients to train on",
            found=f"{counted(len(measured), 'patient')}, {len(measured) - trained} of them kept for testing",
            expected=f"at least {folds} training patients, one per fold",
            remedy="add patients, or lower --folds or --test_share",
        )
    others = sorted({case.patient for case in cases} - measured)
    _spread([patient for patient in others if patient not in side], others, side, folds)
    return [replace(case, fold=side[case.patient]) for case in cases]


def _spread(new: Sequence[str], among: Collection[str], side: dict[str, int | None], folds: int) -> None:
    """Put each new patient into the fold that has the fewest ``among`` the patients so far."""
    sizes = Counter(side[patient] for patient in among if patient in side)
    for patient in new:
        side[patient] = min(range(folds), key=lambda fold: (sizes[fold], fold))
        sizes[side[patient]] += 1


def as_stated(cases: Sequence[Case], scans: Mapping[str, Scan], unlabelled: Collection[str]) -> list[Case]:
    """The cases with the folds that column fold gives; a scan that is only learnt from may have none.

    It is then in its patient's fold, or in one of the folds in turn.

    Raises:
        SemclError: for an empty cell of another case, which would silently be a testing case.
    """
    holes = [case.id for case in cases if not scans[case.id].stated_fold]
    refused = [case for case in holes if case not in unlabelled]
    if refused:
        raise SemclError(
            "column fold is not filled in",
            case=refused[0],
            found=f"{counted(len(refused), 'case')} without a fold",
            expected="a number or test for each case, or for no case",
            remedy="fill in the column, or leave it out: patients are then split by --folds and --test_share",
        )
    side = {case.patient: case.fold for case in cases if case.id not in holes}
    numbers = sorted({fold for fold in side.values() if fold is not None}) or [0]
    turn = {case: numbers[number % len(numbers)] for number, case in enumerate(sorted(holes))}
    return [replace(case, fold=side.setdefault(case.patient, turn.get(case.id))) for case in cases]


def never_tested(scans: Collection[Scan]) -> set[str]:
    """Ids of scans without a label map that are there to be learnt from: those given so, and those beside others.

    Where no scan has a label map, and where column fold says test, a scan is there to be segmented.
    """
    labelled = any(scan.labelled for scan in scans)
    return {
        scan.case
        for scan in scans
        if not scan.labelled and (scan.unlabelled or (labelled and scan.stated_fold != TEST))
    }
