"""Checks across cases: patients, names, splits, duplicates and outliers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..cohort.case import Case, sides
from ..cohort.label_table import LabelTable
from ..names import same_names, shown, wrong_cell, wrong_name
from ..plain import read_json
from .findings import Finding
from .layouts.scan import Scan
from .organ_masks import words
from .voxels import Seen

SPREAD = 10  # times the median, or a tenth of it
SMALL = 1 / 20  # of the median
ENOUGH = {"spread": 3, "size": 5}  # cases needed for a median


def patients(scans: Sequence[tuple[Scan, str]]) -> tuple[dict[str, str], list[Finding]]:
    """Case -> patient: from the table, else that of the scans with its DICOM PatientID, else the case itself.

    They are named by the table if it has one of them, else after the first.

    Args:
        scans: each with its PatientID, empty if there is none. It only groups; no patient is named after it.
    """
    first = {tag: scan.row.patient for scan, tag in reversed(scans) if tag and scan.row}
    people, findings = {}, []
    for scan, tag in scans:
        case = scan.case
        if scan.row:
            people[case] = scan.row.patient
            continue
        people[case] = first.setdefault(tag, case) if tag else case
        if people[case] != case:
            findings.append(Finding(case, "patient_by_tag", f"patient {people[case]}", (people[case],)))
    return people, findings


def name_findings(cases: Sequence[Case]) -> list[Finding]:
    """Ids that cannot name files, patients and phases that cannot be cells, ids and patients that differ in case."""
    findings = []
    for case in cases:
        why = wrong_name(case.id)
        reasons = {f"id: {why}": ""} if why else {}  # the finding shows the id itself
        for what, text in (("patient", case.patient), ("phase", case.phase)):
            why = None if text == case.id else wrong_cell(text)
            reasons |= {f"{what} {shown(text)}: {why}": shown(text)} if why else {}
        if reasons:
            findings.append(Finding(case.id, "bad_name", "; ".join(reasons), tuple(filter(None, reasons.values()))))
    twins = same_names(case.id for case in cases)
    findings += [Finding(case, "same_name", f"{earlier} and {case}", (earlier, case)) for earlier, case in twins]
    first: dict[str, str] = {}
    for case in cases:
        first.setdefault(case.patient, case.id)
    return findings + [
        Finding(first[patient], "same_patient", f"patients {earlier} and {patient}", (earlier, patient))
        for earlier, patient in same_names(first)
        if (earlier, patient) not in twins
    ]


def split_patients(cases: Sequence[Case]) -> list[Finding]:
    """Scans of patients whom column fold puts on two sides of a split."""
    torn = sides(cases)
    return [
        Finding(case.id, "patient_split", f"patient {case.patient} in folds {torn[case.patient]}", (case.patient,))
        for case in cases
        if case.patient in torn
    ]


def names_differ(images: Path, table: LabelTable | None) -> list[Finding]:
    """Organs to which dataset.json, beside the images or above them, gives another index than the table."""
    folders = [folder for folder in (images, images.parent) if (folder / "dataset.json").is_file()]
    if table is None or not folders:
        return []
    path = folders[0] / "dataset.json"
    try:
        given: Any = read_json(path, "JSON with `labels`")["labels"]
        pairs = [(str(name), number) for name, number in given.items()]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        return [Finding(None, "unreadable", f"{path}: {type(error).__name__}", (path,), expected="JSON with `labels`")]
    numbers = {
        words(str(number) if name.isdecimal() else name): name if name.isdecimal() else number for name, number in pairs
    }
    findings = []
    for organ in table.organs:
        index = numbers.get(words(organ.name), organ.index)
        if str(index) != str(organ.index):
            found = f"{organ.name} is {index} in dataset.json, {organ.index} in the label table"
            findings.append(Finding(None, "label_names_differ", found))
    return findings


def partners(table: LabelTable | None) -> list[Finding]:
    """Partners that were inferred from organ names."""
    pairs = table.by_name if table else ()
    return [Finding(None, "partners_by_name", f"{right} and {left}, by their names") for right, left in pairs]


def compare_cases(seen: Mapping[str, Seen]) -> list[Finding]:
    """Duplicate images, intensities on another scale, organs far smaller than the median."""
    findings = []
    first: dict[str, str] = {}
    for case, one in seen.items():
        if one.digest and first.setdefault(one.digest, case) != case:
            twin = first[one.digest]
            findings.append(Finding(case, "duplicate_image", f"the voxels of {twin}", (twin,)))
    return findings + _spreads(seen) + _sizes(seen)


def _spreads(seen: Mapping[str, Seen]) -> list[Finding]:
    spreads = {case: one.spread for case, one in seen.items() if one.spread > 0}
    if len(spreads) < ENOUGH["spread"]:
        return []
    usual = float(np.median(list(spreads.values())))
    return [
        Finding(case, "intensity_spread", f"{spread:.4g}, {spread / usual:.3g} times the median")
        for case, spread in spreads.items()
        if not usual / SPREAD <= spread <= usual * SPREAD
    ]


def _sizes(seen: Mapping[str, Seen]) -> list[Finding]:
    sizes: dict[str, dict[str, float]] = defaultdict(dict)
    for case, one in seen.items():
        for organ, size in one.sizes.items():
            sizes[organ][case] = size
    findings = []
    for organ, given in sizes.items():
        usual = float(np.median(list(given.values())))
        findings += [
            Finding(case, "organ_small", f"{organ} of {size / 1000:.3g} mL, the median is {usual / 1000:.3g} mL")
            for case, size in given.items()
            if len(given) >= ENOUGH["size"] and size < usual * SMALL
        ]
    return findings
