"""From scans to a cohort: check, split by patient, and write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..cohort import datalist
from ..cohort.canonical import compact, reoriented
from ..cohort.case import UNKNOWN_PHASE, Case, input_files
from ..cohort.folder import check_cohort, unfinished
from ..cohort.header import read_header
from ..cohort.label_table import LabelTable
from ..cohort.lineage import extended, named_as_before, sides_of
from ..cohort.selection import hide_labels
from ..cohort.volume_errors import ERROR
from ..errors import SemclError, raise_all
from ..files import write_volume
from ..outputs import Output
from .findings import allow
from .layouts.scan import Scan
from .organ_masks import masks_of, merge
from .splitting import Split, as_stated, never_tested, split
from .survey import Sources, Survey, survey


def prepare_cohort(
    images: Path,
    label_maps: Path | None,
    table: LabelTable,
    out: Path,
    cases_csv: Path | None = None,
    folds: int = 3,
    test_share: float = 0.4,
    seed: int = 0,
    allowed: Collection[str] = (),
    labelled_phases: Collection[str] | None = None,
    unlabelled: Path | None = None,
) -> list[Case]:
    """Check every scan, split the patients, and write ``out``/datalist.json and labels.yaml.

    Args:
        images: folder of volumes or DICOM folders, root of a data set, or CSV of paths.
        label_maps: folder of label maps; without it, and none in a data set, all cases are to be segmented.
        table: the label table.
        out: the cohort's folder.
        cases_csv: columns case, patient and phase; without it each case is a patient of its own.
        folds: number of folds of the training patients, for cross-fitting the coarse network.
        test_share: share of the labelled patients kept for testing.
        seed: of the split.
        allowed: names of findings that are accepted.
        labelled_phases: phases in which training cases keep their label maps, as in ``hide_labels``; None for all.
        unlabelled: folder of scans to learn from without label maps.

    Raises:
        SemclError: with every error that was found, before anything is written.
    """
    found = survey(Sources(images, label_maps, cases_csv, unlabelled=unlabelled), table)
    findings = allow(found.findings, allowed)
    raise_all([item.error for item in findings if item.severity == ERROR])
    return write(found, table, out, folds, test_share, seed, labelled_phases)


def write(
    found: Survey,
    table: LabelTable,
    out: Path,
    folds: int,
    test_share: float,
    seed: int,
    labelled_phases: Collection[str] | None = None,
    modality: str = "CT",
) -> list[Case]:
    """Write the cohort of a survey's usable cases: datalist.json, labels.yaml, and label maps merged from mask files.

    Folds given in column fold are kept; otherwise patients are split. Scans without a label map beside labelled ones
    are learnt from and never tested; if their patient is, they are left out. An unknown phase is added to the table.
    Patients whom no table names keep the names they have in the cohort that ``out`` holds.

    Raises:
        SemclError: when nothing is left, the patients cannot be split, or files of others would be replaced.
    """
    cases = found.usable()
    if not cases:
        raise SemclError(
            "no case is left", found=f"{len(found.cases)} cases that no stage could work with",
            expected="at least one", remedy="fix what the findings name",
        )  # fmt: skip
    if UNKNOWN_PHASE not in table.phases and any(case.phase == UNKNOWN_PHASE for case in cases):
        table = replace(table, phases=(*table.phases, UNKNOWN_PHASE))
    check_cohort(out, table, datalist.DATALIST_FILE)
    cases = named_as_before(out, cases, [case for case, scan in found.scans.items() if scan.row])
    cases, how = _on_sides(cases, found.scans, Split(folds, test_share, seed), out)
    masked = [case.id for case in cases if case.label is None and found.scans[case.id].masks]
    own = Output(out / datalist.MERGED, "label maps merged from masks", "--out")
    if masked:
        own.check(input_files(cases))
    with unfinished(out, datalist.DATALIST_FILE, datalist.MERGED):
        if masked:
            own.claim(input_files(cases))
        cases = [_merged(case, found, table, out) for case in cases]
        if labelled_phases is not None:
            cases = hide_labels(cases, table.phases, labelled_phases)
        table.save(out)
        numbers, stated = how._asdict() if how else None, modality if modality != "CT" else None
        datalist.save(cases, out, split=numbers, extends=extended(out, cases), modality=stated)
    return cases


def _on_sides(
    cases: list[Case], scans: Mapping[str, Scan], numbers: Split, out: Path
) -> tuple[list[Case], Split | None]:
    """The cases with their folds, without scans to be learnt from whose patient is tested; and how they were split.

    Where no scan has a label map there is no split to keep: those to be segmented are tested, the others learnt from.

    Folds that column fold gives are kept. Otherwise patients are split by the numbers, and keep the side they have in
    the cohort that ``out`` holds if it was split by the same ones: errors of ``sides_of``.
    """
    only = never_tested([scans[case.id] for case in cases])
    labelled = any(scans[case.id].labelled for case in cases)
    if not labelled and not only:
        return cases, None
    if labelled and any(scans[case.id].stated_fold for case in cases):
        placed, how = as_stated(cases, scans, only), None
    elif labelled:
        known = sides_of(out, numbers._asdict(), cases)
        placed, how = split(cases, *numbers, unlabelled=only, known=known), numbers
    else:
        to_segment = {case.patient: None for case in cases if case.id not in only}
        placed, how = split(cases, *numbers, unlabelled=scans, known=to_segment), None
    return [case for case in placed if case.fold is not None or case.id not in only], how


def _merged(case: Case, found: Survey, table: LabelTable, out: Path) -> Case:
    """The case with its mask files, if any, merged into a label map of the cohort."""
    scan = found.scans[case.id]
    if case.label is not None or not scan.masks:
        return case
    path = out / datalist.MERGED / f"{case.id}.nii.gz"
    masks, image = masks_of(scan.masks, table), read_header(case.image)
    objects = merge(masks, table).objects if masks else np.zeros(image.canonical().shape[:3], np.int16)
    indices = table.decode(objects)
    write_volume(path, compact(reoriented(indices, image.canonical().affine, image.affine)), image.affine)
    return replace(case, label=path)
