"""From folders of scans to a checked cohort: pairs by case id, patients, phases, folds."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ..errors import SemclError, raise_all
from . import datalist
from .datalist import Case
from .labels import LabelTable
from .volume import read, read_objects


def prepare(
    images: Path,
    labels: Path | None,
    table: LabelTable,
    out: Path,
    cases_csv: Path | None = None,
    folds: int = 3,
    test_share: float = 0.4,
    seed: int = 0,
) -> list[Case]:
    """Check every scan, split the patients, and write ``out``/datalist.json and labels.yaml.

    Args:
        images: folder of volumes; the file name without suffix is the case id.
        labels: folder of label maps of the same names; without it all cases are to be segmented, none to train on.
        table: the label table.
        out: the cohort's folder.
        cases_csv: columns case, patient and phase; without it each case is a patient of its own of the first phase.
        folds: over how many parts of the training patients the coarse network is cross-fitted.
        test_share: share of the labelled patients kept for testing.
        seed: of the split.

    Raises:
        SemclError: with everything that was found wrong, before anything is written.
    """
    paired = _pair(images, labels)
    known = _read_cases(cases_csv) if cases_csv else {}
    errors = []
    cases = []
    for case, (image, label) in paired.items():
        if cases_csv and case not in known:
            errors.append(_unlisted(case, image, cases_csv))
            continue
        patient, phase = known.get(case, (case, table.phases[0]))
        cases.append(Case(case, patient, phase, image, label))
    for case in tqdm(cases, desc="check", unit="scan"):
        try:
            table.phase_number(case.phase, case.case)
            image_volume = read(case.image, case.case)
            if case.label is not None:
                read_objects(case.label, image_volume, case.case, table)
        except SemclError as error:
            errors.append(error)
    raise_all(errors)
    if labels is not None:
        cases = split(cases, folds, test_share, seed)
    out.mkdir(parents=True, exist_ok=True)
    table.save(out)
    datalist.save(cases, out)
    return cases


def split(cases: Sequence[Case], folds: int, test_share: float, seed: int) -> list[Case]:
    """Give each case its fold, or none to test it; by patient, so that no patient is on two sides.

    Raises:
        SemclError: for numbers that make no split, or fewer training patients than folds.
    """
    if folds < 2 or not 0 <= test_share < 1:
        raise SemclError(
            "patients cannot be split like that",
            found=f"{folds} folds, a test share of {test_share}",
            expected="at least 2 folds, a test share from 0 to below 1",
            remedy="change --folds or --test_share",
        )
    patients = sorted({case.patient for case in cases})
    random.Random(seed).shuffle(patients)
    tested = round(len(patients) * test_share)
    trained = patients[tested:]
    if len(trained) < folds:
        raise SemclError(
            "too few patients to train on",
            found=f"{len(patients)} patients, {tested} of them kept for testing",
            expected=f"at least {folds} training patients, one a fold",
            remedy="add patients, or lower --folds or --test_share",
        )
    fold = {patient: number % folds for number, patient in enumerate(trained)}
    return [replace(case, fold=fold.get(case.patient)) for case in cases]


def _pair(images: Path, labels: Path | None) -> dict[str, tuple[Path, Path | None]]:
    for folder in (images, labels):
        if folder is not None and not folder.is_dir():
            raise SemclError(
                "a folder is missing", found=str(folder), expected="a folder of volumes", remedy="check the path"
            )
    scans = datalist.volumes(images)
    maps = datalist.volumes(labels) if labels else {}
    if not scans:
        raise SemclError(
            "no volumes to prepare",
            found=f"none in {images}",
            expected=f"files ending in {', '.join(datalist.SUFFIXES)}",
            remedy="check --images",
        )
    errors = []
    for case in sorted(set(scans) ^ set(maps)) if labels else []:
        has, lacks = ("image", "label map") if case in scans else ("label map", "image")
        errors.append(
            SemclError(
                f"{has} without {lacks}",
                case=case,
                found=f"only {(scans | maps)[case]}",
                expected=f"a {lacks} of the same name",
                remedy=f"add the {lacks}, or move the {has} away",
            )
        )
    raise_all(errors)
    return {case: (scans[case], maps.get(case)) for case in scans}


def _read_cases(path: Path) -> dict[str, tuple[str, str]]:
    rows: list[dict[str, str]] = []
    if path.is_file():
        with open(path, newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it, too
            rows = list(csv.DictReader(file))
    columns = {"case", "patient", "phase"}
    if not rows or not columns <= set(rows[0]):
        raise SemclError(
            "the table of cases cannot be used",
            found=f"{path} with columns {', '.join(rows[0])}" if rows else f"no rows in {path}, or no such file",
            expected="columns case, patient, phase and a row a case",
            remedy="mend the CSV",
        )
    known: dict[str, tuple[str, str]] = {}
    errors = []
    for number, row in enumerate(rows, start=2):
        case, patient, phase = ((row[column] or "").strip() for column in ("case", "patient", "phase"))
        if not (case and patient and phase) or case in known:
            found = f"line {number} of {path}: {case or '?'}, {patient or '?'}, {phase or '?'}"
            expected = "case, patient and phase on each line, no case twice"
            errors.append(SemclError("a line of the table of cases", found=found, expected=expected, remedy="mend it"))
        known[case] = (patient, phase)
    raise_all(errors)
    return known


def _unlisted(case: str, image: Path, path: Path) -> SemclError:
    return SemclError(
        "a scan that the table of cases does not list",
        case=case,
        found=str(image),
        expected=f"a row in {path}",
        remedy="add the row, or move the scan away",
    )
