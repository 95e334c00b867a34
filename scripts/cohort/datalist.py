"""The datalist: which scans a cohort holds, whose they are, in which phase and fold."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from ..errors import SemclError, raise_all
from ..files import write_text
from ..names import bad_cell, bad_id, twins
from ..outputs import MARKER
from ..plain import read_json, short
from . import pictures
from .dicom import holds_dicom
from .label_table import FILE_NAME as TABLE
from .label_table import LabelTable
from .own import refuse_unfinished
from .volume import read_objects

FILE_NAME = "datalist.json"
MERGED = "labels"  # where a cohort keeps label maps that were merged from mask files
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", *pictures.SUFFIXES)
SECTIONS = ("training", "testing")
MOST_FOLDS = 1000
WANTED = (*SECTIONS, "unlabelled", "all")
UNCLEAR = "the datalist cannot be understood"
AGAIN = "run `python -m scripts prepare` again"
ENTRIES = "training and testing lists of {case, patient, phase, image, label, fold}"


@dataclass(frozen=True)
class Case:
    """One scan: its id, its patient, its phase, its files, and for training cases the fold it is held out in.

    ``image`` is a file, or a folder of DICOM slices; ``annotated`` names the annotated organs, None when all are.
    """

    id: str
    patient: str
    phase: str
    image: Path
    label: Path | None = None
    fold: int | None = None
    annotated: tuple[str, ...] | None = None


def case_id(path: Path) -> str | None:
    """File name without the suffix of a volume; None for other files."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix) and not path.name.startswith("."):
            return path.name[: -len(suffix)]
    return None


def volumes(folder: Path) -> dict[str, Path]:
    """Case id -> file of every volume in a folder, by name; a folder of DICOM slices in it is a volume too.

    Pictures are volumes where there is nothing else. A folder that a stage marked is none, of predictions as DICOM SEG.

    Raises:
        SemclError: when two files have the same case id.
    """
    found: dict[str, Path] = {}
    held = [path for path in sorted(folder.iterdir()) if case_id(path) or (path.is_dir() and holds_dicom(path))]
    held = [path for path in held if not (path / MARKER).is_file()]
    for path in pictures.without_previews(held):
        case = path.name if path.is_dir() and holds_dicom(path) else case_id(path)
        if case is not None and case in found:
            raise SemclError(
                "two files of one case",
                case=case,
                found=f"{found[case].name} and {path.name} in {folder}",
                expected="one volume a case",
                remedy="remove one of them",
            )
        if case is not None:
            found[case] = path
    return found


def save(cases: Sequence[Case], folder: Path, split_of: str | None = None) -> None:
    """Write ``folder``/datalist.json; files inside the folder are named relative to it, others by full path.

    ``split_of`` is the digest of the cohort that these cases are another split of, whose attention maps serve them too.
    """

    def name(path: Path | None) -> str | None:
        if path is None:
            return None
        full = path.resolve()
        root = folder.resolve()
        return str(full.relative_to(root) if full.is_relative_to(root) else full)

    sections: dict[str, Any] = {} if split_of is None else {"split_of": split_of}
    sections |= {section: [] for section in SECTIONS}
    for case in cases:
        entry = {
            "case": case.id,
            "patient": case.patient,
            "phase": case.phase,
            "image": name(case.image),
            "label": name(case.label),
            "fold": case.fold,
            "annotated": case.annotated,
        }
        kept = {key: value for key, value in entry.items() if value is not None}
        sections["testing" if case.fold is None else "training"].append(kept)
    write_text(folder / FILE_NAME, json.dumps(sections, indent=1))


def load(dataset_dir: str | Path, section: str = "all", need_label: bool = False) -> list[Case]:
    """Cases of a cohort, or of a plain folder of volumes (each then a patient of its own, to be tested).

    Args:
        dataset_dir: folder with datalist.json, or with volumes.
        section: "training", "testing", "unlabelled" (training cases without a label map) or "all".
        need_label: whether a case without a label map is an error.

    Raises:
        SemclError: when the folder is missing or empty, the datalist says what it cannot, a file of it is missing, a
            label map is missing where one is needed, an id is no name, a case is listed twice, or a patient is on two
            sides of a split.
    """
    if section not in WANTED:
        raise SemclError(
            "unknown section of a datalist",
            found=section,
            expected=f"{', '.join(WANTED[:-1])} or {WANTED[-1]}",
            remedy="set section",
        )
    folder = Path(dataset_dir)
    makes = "make a cohort with `python -m scripts prepare` or `python -m scripts phantom`, then pass --dataset_dir"
    if not folder.is_dir():
        raise SemclError(
            "dataset_dir is not a folder", found=str(dataset_dir), expected="a folder with datalist.json", remedy=makes
        )
    refuse_unfinished(folder)
    path = folder / FILE_NAME
    if path.is_file():
        cases = _read(path)
    else:
        cases = [Case(case, case, "unknown", file) for case, file in volumes(folder).items()]
    if not cases:
        raise SemclError(
            "dataset_dir holds no cases", found=f"no {FILE_NAME} and no volumes in {folder}",
            expected=f"{FILE_NAME}, or files ending in {', '.join(SUFFIXES)}", remedy=makes,
        )  # fmt: skip
    raise_all(wrong_names(cases), of="the names of cases")
    _check_split(cases)
    _refuse_organs(cases, folder)
    if section != "all":
        cases = [case for case in cases if (case.fold is None) == (section == "testing")]
    if section == "unlabelled":
        cases = [case for case in cases if case.label is None]
    if not cases:
        raise SemclError(
            f"the cohort has no {section} cases",
            found=f"none under {section!r} in {path}",
            expected="at least one",
            remedy="prepare the cohort again with another --test_share, or pass --section",
        )
    raise_all([error for case in cases for error in _check_files(case, need_label)])
    return cases


def read_label(case: Case, image: MetaTensor, table: LabelTable) -> NDArray[np.int16]:
    """Object numbers (X, Y, Z) of a case's label map; errors of ``read_objects``, and when there is none."""
    if case.label is None:
        raise unlabelled(case)
    return read_objects(case.label, image, case.id, table)


def folds(cases: Sequence[Case]) -> list[int]:
    """The folds of the training cases, in order."""
    return sorted({case.fold for case in cases if case.fold is not None})


def sides(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Patient -> folds, of the patients who are in more than one of them ("None" is testing)."""
    found: dict[str, set[str]] = {}
    for case in cases:
        found.setdefault(case.patient, set()).add(str(case.fold))
    return {patient: sorted(seen) for patient, seen in found.items() if len(seen) > 1}


def digest(cases: Sequence[Case]) -> str:
    """A short hash of who is in the cohort and on which side of each split."""
    rows = sorted([case.id, case.patient, case.phase, case.fold] for case in cases)
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()[:12]


def splits(dataset_dir: str | Path) -> list[str]:
    """Digest of the whole datalist, whether its files are there or not, and of the cohort it is a split of, if any.

    None of a plain folder of volumes.
    """
    path = Path(dataset_dir) / FILE_NAME
    if not path.is_file():
        return []
    cases = _read(path)
    split_of = json.loads(path.read_text()).get("split_of")
    return [digest(cases), *([str(split_of)] if split_of else [])]


def _read(path: Path) -> list[Case]:
    content = read_json(path, ENTRIES, UNCLEAR, AGAIN)
    try:
        strange = [name for name, part in content.items() if isinstance(part, list) and name not in SECTIONS]
        if strange:
            raise ValueError(f"section {strange[0]!r}, which no stage would read")
        entries = [(section, entry) for section in SECTIONS for entry in content.get(section, [])]
        return [
            Case(
                id=str(entry["case"]),
                patient=str(entry["patient"]),
                phase=_phase(entry.get("phase", "unknown")),
                image=path.parent / entry["image"],
                label=path.parent / entry["label"] if entry.get("label") else None,
                fold=_fold(entry["fold"]) if section == "training" else None,
                annotated=_organs(entry["annotated"]) if "annotated" in entry else None,
            )
            for section, entry in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise SemclError(
            UNCLEAR,
            found=f"{path}: {type(error).__name__} {short(str(error))}",
            expected=ENTRIES,
            remedy=AGAIN,
        ) from error


def _phase(given: object) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ValueError(f"phase {given!r} is no name")
    return str(given)


def _fold(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < MOST_FOLDS:
        shown = repr(given)
        raise ValueError(f"fold {shown[:40]} is no whole number from 0 to {MOST_FOLDS - 1}")
    return given


def _organs(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"annotated {given!r} is no list of names")
    return tuple(given)


def _refuse_organs(cases: Sequence[Case], folder: Path) -> None:
    """Refuse annotated organs that the cohort's label table does not name: a typing error would hide an organ."""
    stated = {organ: case.id for case in cases for organ in case.annotated or ()}
    if not stated or not (folder / TABLE).is_file():
        return
    names = LabelTable.load(folder).names
    for organ in sorted(set(stated) - set(names)):
        raise SemclError(
            "the datalist names an annotated organ that the label table does not",
            case=stated[organ],
            found=organ,
            expected=f"of {', '.join(names)}",
            remedy=f"mend `annotated` in {folder / FILE_NAME}",
        )


def wrong_names(cases: Sequence[Case]) -> list[SemclError]:
    """Ids, patients and phases that cannot name files or stand in tables, and ids that differ in capitals alone."""
    found = [bad_id(case.id) for case in cases]
    found += [bad_cell("a patient", case.patient, case.id) for case in cases if not bad_id(case.id)]
    found += [bad_cell("a phase", phase) for phase in dict.fromkeys(case.phase for case in cases)]
    return [*filter(None, found), *twins(case.id for case in cases)]


def _check_split(cases: Sequence[Case]) -> None:
    counts = Counter(case.id for case in cases)
    twice = [case for case, count in counts.items() if count > 1]
    if twice:
        raise SemclError(
            "a case is listed twice",
            case=twice[0],
            found=f"{counts[twice[0]]} entries in the datalist",
            expected="one entry a case",
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


def _check_files(case: Case, need_label: bool) -> list[SemclError]:
    errors = []
    for file in (case.image, case.label):
        if file is not None and not os.path.exists(file):  # which a path too long does not raise at
            errors.append(
                SemclError(
                    "a file of the datalist is missing",
                    case=case.id,
                    found=f"no {short(str(file), 1000)}",
                    expected="the file",
                    remedy="restore it, or run `python -m scripts prepare` again",
                )
            )
    if need_label and case.label is None:
        errors.append(unlabelled(case))
    return errors


def unlabelled(case: Case) -> SemclError:
    """What to say of a case that has no label map where one is needed."""
    return SemclError(
        "an image without a label map",
        case=case.id,
        found=f"only {case.image}",
        expected="a label map: this stage learns from labels or measures against them",
        remedy="add the label map and run `python -m scripts prepare` again, or leave the case out",
    )
