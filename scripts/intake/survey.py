"""The check of a cohort: headers first, then voxels in parallel, then checks across cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from unicodedata import normalize

from ..bars import bar
from ..cohort.case import UNKNOWN_PHASE, Case
from ..cohort.header import Header
from ..cohort.label_table import LabelTable
from ..cohort.volume_files import readers
from ..errors import SemclError, one_of
from ..names import MODALITIES
from ..printable import counted
from . import case_table, cohort_checks
from .findings import Finding, unusable_cases
from .layouts import find_layout
from .layouts.scan import Scan
from .phase_detection import compile_pattern, phase_of
from .scan_checks import annotated_organs, check_voxels, open_scan
from .unlabelled import with_unlabelled

OF_BODIES = (
    "organ_absent",
    "organ_small",
    "organ_in_pieces",
    "label_empty",
    "intensity_spread",
)  # not of pictures
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Sources:
    """Where a cohort's scans come from and what is known about them.

    Args:
        images: folder of volumes or DICOM folders, root of a data set, or CSV of paths.
        label_maps: folder of label maps; None to take what the data set holds.
        cases: CSV with columns case, patient, phase.
        phase_pattern: regular expression with one group, searched in file names.
        modality: "CT" (intensities are HU), "MR", or "RGB": pictures, each of which shows some of the objects.
        workers: cases checked at once; None for the number of cores, at most 4.
        most: the largest number of voxels of a volume; None for the default.
        unlabelled: folder of scans to learn from without label maps.
    """

    images: Path
    label_maps: Path | None = None
    cases: Path | None = None
    phase_pattern: str | None = None
    modality: str = "CT"
    workers: int | None = None
    most: int | None = None
    unlabelled: Path | None = None


@dataclass(frozen=True)
class Survey:
    """The cases that were found, their scans, the findings, and what else was recognised.

    Args:
        cases: all that were found.
        scans: case id -> its files.
        findings: in the order of the cases.
        layout: name of the layout of the files.
        grids: case id -> header of its image in RAS.
        values: case id -> values of its label map, without background.
    """

    cases: list[Case]
    scans: dict[str, Scan]
    findings: list[Finding]
    layout: str = ""
    grids: dict[str, Header] = field(default_factory=dict)
    values: dict[str, frozenset[int]] = field(default_factory=dict)

    def usable(self) -> list[Case]:
        """The cases that stages can work with."""
        out = unusable_cases(self.findings)
        return [case for case in self.cases if case.id not in out]


def survey(sources: Sources, table: LabelTable | None) -> Survey:
    """Find the scans and check each, then all together; writes nothing.

    Args:
        sources: where to look.
        table: the label table; without it organs are not checked.

    Raises:
        SemclError: when there are no scans, or an option is invalid.
    """
    one_of("modality", sources.modality, MODALITIES)
    pattern = compile_pattern(sources.phase_pattern) if sources.phase_pattern else None
    layout, found = find_layout(sources.images, sources.label_maps)
    scans, findings = with_unlabelled(found, sources.unlabelled) if sources.unlabelled else found
    if sources.cases:
        scans, unlisted = _listed(scans, sources.cases)
        findings += unlisted
    refuse_organs({organ for scan in scans if scan.row for organ in scan.row.annotated or ()}, table)
    opened = _parallel(lambda scan: open_scan(scan, table, sources.most), scans, sources.workers, "headers")
    people, grouped = cohort_checks.patients([(one.scan, one.tags.get("patient", "")) for one in opened])
    cases = []
    for one in opened:
        row = one.scan.row
        phase = phase_of(one.scan.image, row.phase if row else None, table.phases if table else (), pattern, one.tags)
        cases.append(_case(one.scan, people[one.scan.case], phase, table))
        findings += [*one.findings, *_remarks(cases[-1], one.tags.get("modality", ""), sources.modality, table)]
    seen = _parallel(lambda one: check_voxels(one, table, sources.modality), opened, sources.workers, "voxels")
    findings += [
        *grouped,
        *cohort_checks.names_differ(sources.images, table),
        *cohort_checks.name_findings(cases),
        *cohort_checks.split_patients([case for case, one in zip(cases, opened, strict=True) if one.scan.stated_fold]),
    ]
    findings += [*cohort_checks.partners(table), *(item for one in seen for item in one.findings)]
    findings += cohort_checks.compare_cases(dict(zip((case.id for case in cases), seen, strict=True)))
    if sources.modality == "RGB":
        findings = [item for item in findings if item.name not in OF_BODIES]
    order = {case.id: number for number, case in enumerate(cases)}
    findings.sort(key=lambda item: order.get(item.case or "", -1))
    grids = {one.scan.case: one.image.canonical() for one in opened if one.image}
    values = {case.id: one.values for case, one in zip(cases, seen, strict=True)}
    return Survey(cases, {scan.case: scan for scan in scans}, findings, layout, grids, values)


def _parallel(
    work: Callable[[_Item], _Result], items: Sequence[_Item], workers: int | None, name: str
) -> list[_Result]:
    with ThreadPoolExecutor(readers(workers)) as pool:
        return list(bar(pool.map(work, items), total=len(items), title=name, unit="scan"))


def _listed(scans: Sequence[Scan], path: Path) -> tuple[list[Scan], list[Finding]]:
    """Each scan with its row of the table of cases; scans without one become findings, and rows without a scan.

    Raises:
        SemclError: when a CSV of paths has a row of a scan already: what that says would not count.
    """
    twice = [scan.case for scan in scans if scan.row and not scan.unlabelled]
    if twice:
        raise SemclError(
            "a table of cases beside a CSV of paths",
            case=twice[0],
            found=f"rows of {counted(len(twice), 'scan')} in the CSV of paths, and --cases {path}",
            expected="one table: the CSV of paths may have columns phase, fold and annotated",
            remedy="put these columns into the CSV of paths, and leave --cases out",
        )
    rows = {normalize("NFC", row.case): row for row in case_table.read_rows(path, ("case", "patient", "phase"))}
    names = {scan.case: normalize("NFC", scan.case) for scan in scans}
    missing = [
        Finding(scan.case, "unlisted_case", str(scan.image), (scan.image, path), expected=f"a row in {path}")
        for scan in scans
        if names[scan.case] not in rows
    ]
    left = [row.case for case, row in rows.items() if case not in names.values()]
    missing += [Finding(case, "row_without_scan", f"a row of {path}", (path,)) for case in left]
    return [replace(scan, row=rows[names[scan.case]]) for scan in scans if names[scan.case] in rows], missing


def refuse_organs(stated: AbstractSet[str], table: LabelTable | None) -> None:
    """Refuse annotated organs that are not in the table: a typo would hide an organ."""
    unknown = sorted(stated - set(table.names if table else stated))
    if table and unknown:
        raise SemclError(
            "column annotated names organs that are not in the label table",
            found=", ".join(unknown),
            expected=f"some of {', '.join(table.names)}, separated by spaces, or by ; where a name has a space",
            remedy="correct the CSV; a single organ whose name has a space ends with ;",
        )


def _case(scan: Scan, patient: str, phase: str, table: LabelTable | None) -> Case:
    stated = scan.row.fold if scan.row else None
    fold = int(stated) if stated and stated != case_table.TEST else None
    return Case(scan.case, patient, phase, scan.image, scan.label, fold, annotated_organs(scan, table))


def _remarks(case: Case, tagged: str, modality: str, table: LabelTable | None) -> list[Finding]:
    """Findings on a case's phase, modality and annotated organs."""
    remarks = []
    if table and case.phase == UNKNOWN_PHASE and UNKNOWN_PHASE not in table.phases:
        remarks.append(Finding(case.id, "phase_unknown", "no phase"))
    elif table and case.phase not in table.phases:
        expected = f"one of {', '.join(table.phases)}"
        remarks.append(Finding(case.id, "phase_not_in_table", case.phase, expected=expected))
    if tagged and tagged != modality:
        remarks.append(Finding(case.id, "modality_differs", tagged, expected=modality))
    if table and case.annotated is not None:
        missing = [name for name in table.names if name not in case.annotated]
        remarks.append(Finding(case.id, "partial_labels", f"without {', '.join(missing)}"))
    return remarks
