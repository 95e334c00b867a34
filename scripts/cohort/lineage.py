"""States of a cohort that scans were added to, and the splits for which weights and attention maps are valid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import SemclError
from .case import Case, digest
from .datalist import DATALIST_FILE, content, listed_cases


def valid_splits(dataset_dir: str | Path) -> list[str]:
    """Digests of ``cohort_states``, and of the cohort this is a split of: those for which attention maps are valid.

    Empty for a plain folder of volumes. Files need not exist.
    """
    path = Path(dataset_dir) / DATALIST_FILE
    if not path.is_file():
        return []
    split_of = content(path).get("split_of")
    return [*cohort_states(dataset_dir), *([str(split_of)] if split_of else [])]


def cohort_states(dataset_dir: str | Path) -> list[str]:
    """Digest of the datalist, and of earlier states that it extends: what learnt then saw no tested patient."""
    path = Path(dataset_dir) / DATALIST_FILE
    return [digest(listed_cases(path)), *str(content(path).get("extends", "")).split()] if path.is_file() else []


def sides_of(folder: Path, split: Mapping[str, float], cases: Sequence[Case]) -> dict[str, int | None]:
    """Patient -> fold in the datalist of a folder, None for testing; empty unless it was split by the same numbers.

    Patients of ``cases`` are known by their names and by their scans.

    Raises:
        SemclError: for one whose name and scans were on several sides.
    """
    before, path = _cases_of(folder), folder / DATALIST_FILE
    if not before or content(path).get("split") != dict(split):
        return {}
    found: dict[str, dict[int | None, str]] = {case.patient: {case.fold: case.id} for case in before}
    fold = {case.id: case.fold for case in before}
    for case in cases:
        if case.id in fold:
            seen = found.setdefault(case.patient, {})
            seen.setdefault(fold[case.id], case.id)
            if len(seen) > 1:
                places = [f"{one} in {'testing' if side is None else f'fold {side}'}" for side, one in seen.items()]
                raise SemclError(
                    "scans that are now one patient's were on two sides of the split",
                    case=case.id,
                    found=f"patient {case.patient}: {' and '.join(places)} in {path}",
                    expected="patients that each were on one side, so that nobody is tested who was learnt from",
                    remedy="name the patients as before, or split anew: give another --seed, and run all stages again",
                )
    return {patient: next(iter(seen)) for patient, seen in found.items()}


def named_as_before(folder: Path, cases: Sequence[Case], stated: Collection[str]) -> list[Case]:
    """The cases with the names that their patients have in the datalist of a folder.

    A patient who has a name from a table, or whose scans were of several patients, keeps the new name.

    Args:
        folder: of a cohort.
        cases: of the cohort that takes its place.
        stated: ids of those whose patients a table names.
    """
    old = {case.id: case.patient for case in _cases_of(folder)}
    named = {case.patient for case in cases if case.id in stated}
    were: dict[str, set[str]] = {}
    for case in cases:
        if case.id in old and case.patient not in named:
            were.setdefault(case.patient, set()).add(old[case.id])
    before = {patient: next(iter(names)) for patient, names in were.items() if len(names) == 1}
    return [replace(case, patient=before.get(case.patient, case.patient)) for case in cases]


def extended(folder: Path, cases: Sequence[Case]) -> list[str]:
    """Digests of the states that cases extend: that of the datalist in a folder, and those which that extends.

    Cases extend a datalist when all its patients are among them, on the side they had, and no case has changed.
    """
    before, now = _cases_of(folder), {case.id: case for case in cases}
    side = {case.patient: case.fold for case in cases}
    same = before and all(
        case.patient in side
        and side[case.patient] == case.fold
        and (case.id not in now or (now[case.id].patient, now[case.id].phase) == (case.patient, case.phase))
        for case in before
    )
    return [state for state in cohort_states(folder) if state != digest(cases)] if same else []


def _cases_of(folder: Path) -> list[Case]:
    """The cases of a folder's datalist; none where there is none, or it is damaged and will be written anew."""
    path = folder / DATALIST_FILE
    with suppress(SemclError):
        return listed_cases(path) if path.is_file() else []
    return []
