"""A case, one scan of a cohort, and what must hold of a cohort's cases."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SemclError
from ..names import bad_cell, bad_id, twins
from ..plain import short

UNKNOWN_PHASE = "unknown"  # of scans whose phase is not given


@dataclass(frozen=True)
class Case:
    """One scan: its id, patient, phase and files, and for training cases the fold it is held out in.

    ``image`` is a file, or a folder of DICOM slices; ``annotated`` names the annotated organs, None for all; ``pseudo``
    tells that the label map is a pseudo-label: an organ that it lacks altogether may be there all the same.
    """

    id: str
    patient: str
    phase: str
    image: Path
    label: Path | None = None
    fold: int | None = None
    annotated: tuple[str, ...] | None = None
    pseudo: bool = False

    def annotates(self, organ: str) -> bool:
        """Whether the label map, if there is one, is known to show an organ wherever it is."""
        return self.annotated is None or organ in self.annotated


def input_files(cases: Iterable[Case]) -> list[Path]:
    """The images and label maps of cases, which no stage may write over."""
    return [path for case in cases for path in (case.image, case.label) if path is not None]


def folds(cases: Sequence[Case]) -> list[int]:
    """The folds of the training cases, in order."""
    return sorted({case.fold for case in cases if case.fold is not None})


def sides(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Patient -> folds, for patients in more than one fold ("None" is testing)."""
    found: dict[str, set[str]] = {}
    for case in cases:
        found.setdefault(case.patient, set()).add(str(case.fold))
    return {patient: sorted(seen) for patient, seen in found.items() if len(seen) > 1}


def digest(cases: Sequence[Case]) -> str:
    """A short hash of the cohort's cases, patients, phases and folds."""
    rows = sorted([case.id, case.patient, case.phase, case.fold] for case in cases)
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()[:12]


def labels_digest(cases: Sequence[Case]) -> str:
    """A short hash of the training cases that have label maps, the sizes of these files and what they annotate."""
    learnt = [case for case in cases if case.label is not None and case.fold is not None]
    rows = sorted([case.id, case.label.stat().st_size, case.annotated] for case in learnt if case.label)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def name_errors(cases: Sequence[Case]) -> list[SemclError]:
    """Ids, patients and phases that cannot name files or be table cells, and ids that differ only in case."""
    found = [bad_id(case.id) for case in cases]
    found += [bad_cell("a patient", case.patient, case.id) for case in cases if not bad_id(case.id)]
    found += [bad_cell("a phase", phase) for phase in dict.fromkeys(case.phase for case in cases)]
    return [*filter(None, found), *twins(case.id for case in cases)]


def check_split(cases: Sequence[Case]) -> None:
    """Check that no case is listed twice and no patient is on two sides of a split.

    Raises:
        SemclError: naming the first case or patient for which that does not hold.
    """
    counts = Counter(case.id for case in cases)
    twice = [case for case, count in counts.items() if count > 1]
    if twice:
        raise SemclError(
            "a case is listed twice",
            case=twice[0],
            found=f"{counts[twice[0]]} entries in the datalist",
            expected="one entry per case",
            remedy="run `python -m scripts prepare` again",
        )
    torn = sides(cases)
    if torn:
        patient, seen = next(iter(torn.items()))
        raise SemclError(
            "a patient is on two sides of a split",
            found=f"patient {patient} in folds {seen}",
            expected="all scans of a patient in one fold, or all in testing",
            remedy="run `python -m scripts prepare` again: it splits by patient",
        )


def missing_files(case: Case, need_label: bool) -> list[SemclError]:
    """An error for each file of a case that does not exist, and for a label map that is needed and not listed."""
    errors = [
        SemclError(
            "a file of the datalist is missing",
            case=case.id,
            found=f"no {short(str(path), 1000)}",
            expected="the file",
            remedy="restore it, or run `python -m scripts prepare` again",
        )
        for path in input_files([case])
        if not os.path.exists(path)  # Path.exists raises when a path is too long
    ]
    return [*errors, unlabelled(case)] if need_label and case.label is None else errors


def unlabelled(case: Case) -> SemclError:
    """The error for a case without a label map where one is needed."""
    return SemclError(
        "an image without a label map",
        case=case.id,
        found=f"only {case.image}",
        expected="a label map: this stage learns from labels or measures against them",
        remedy="add the label map and run `python -m scripts prepare` again, or leave the case out",
    )
