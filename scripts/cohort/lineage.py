"""States of a cohort that scans were added to, and the splits for which weights and attention maps are valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
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


def sides_of(folder: Path, split: Mapping[str, float]) -> dict[str, int | None]:
    """Patient -> fold in the datalist of a folder, None for testing; empty unless it was split by the same numbers."""
    before = _cases_of(folder)
    same = bool(before) and content(folder / DATALIST_FILE).get("split") == dict(split)
    return {case.patient: case.fold for case in before} if same else {}


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
