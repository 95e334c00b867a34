"""From scans to a cohort: check, split by patient, and write."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from ..cohort import datalist
from ..cohort.canonical import compact, reoriented
from ..cohort.case import UNKNOWN_PHASE, Case, input_files
from ..cohort.folder import check_cohort, merged_alone, unfinished
from ..cohort.header import read_header
from ..cohort.label_table import LabelTable
from ..cohort.selection import hide_labels
from ..cohort.volume_errors import ERROR
from ..errors import SemclError, raise_all
from ..files import write_volume
from ..outputs import Output
from .findings import allow
from .organ_masks import masks_of, merge
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

    Raises:
        SemclError: with every error that was found, before anything is written.
    """
    found = survey(Sources(images, label_maps, cases_csv), table)
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
) -> list[Case]:
    """Write the cohort of a survey's usable cases: datalist.json, labels.yaml, and label maps merged from mask files.

    Folds given in column fold are kept; otherwise patients are split. Cases of unknown phase add it to the table.

    Raises:
        SemclError: when nothing is left, the patients cannot be split, or files of others would be replaced.
    """
    cases = found.usable()
    if not cases:
        raise SemclError(
            "no case is left", found=f"{len(found.cases)} cases that no stage could work with",
            expected="at least one", remedy="fix what the findings name",
        )  # fmt: skip
    stated = [row.fold for case in cases if (row := found.scans[case.id].row)]
    labelled = any(found.scans[case.id].labelled for case in cases)
    if labelled and any(stated):
        _refuse_holes(cases, found)
    elif labelled:
        cases = split(cases, folds, test_share, seed)
    if UNKNOWN_PHASE not in table.phases and any(case.phase == UNKNOWN_PHASE for case in cases):
        table = replace(table, phases=(*table.phases, UNKNOWN_PHASE))
    check_cohort(out, table, datalist.DATALIST_FILE)
    masked = [case.id for case in cases if case.label is None and found.scans[case.id].masks]
    own = Output(out / datalist.MERGED, "label maps merged from masks", "--out")
    if masked:
        own.check(input_files(cases), lambda: merged_alone(own.folder, masked, out / datalist.DATALIST_FILE))
    with unfinished(out, datalist.DATALIST_FILE, datalist.MERGED):
        if masked:
            own.claim(input_files(cases), lambda: True)
        cases = [_merged(case, found, table, out) for case in cases]
        if labelled_phases is not None:
            cases = hide_labels(cases, table.phases, labelled_phases)
        table.save(out)
        datalist.save(cases, out)
    return cases


def split(cases: Sequence[Case], folds: int, test_share: float, seed: int) -> list[Case]:
    """Assign each case a fold, or None for testing; by patient, so that no patient is on two sides.

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
    patients = sorted({case.patient for case in cases})
    random.Random(seed).shuffle(patients)
    tested = round(len(patients) * test_share)
    trained = patients[tested:]
    if len(trained) < folds:
        raise SemclError(
            "too few patients to train on",
            found=f"{len(patients)} patients, {tested} of them kept for testing",
            expected=f"at least {folds} training patients, one per fold",
            remedy="add patients, or lower --folds or --test_share",
        )
    fold = {patient: number % folds for number, patient in enumerate(trained)}
    return [replace(case, fold=fold.get(case.patient)) for case in cases]


def _refuse_holes(cases: Sequence[Case], found: Survey) -> None:
    """Refuse a column fold that is empty for some cases: they would silently be testing cases."""
    holes = [case.id for case in cases if not ((row := found.scans[case.id].row) and row.fold)]
    if holes:
        raise SemclError(
            "column fold is not filled in",
            case=holes[0],
            found=f"{len(holes)} cases without a fold",
            expected="a number or test for each case, or for no case",
            remedy="fill in the column, or leave it out: patients are then split by --folds and --test_share",
        )


def _merged(case: Case, found: Survey, table: LabelTable, out: Path) -> Case:
    """The case with its mask files, if any, merged into a label map of the cohort."""
    scan = found.scans[case.id]
    if case.label is not None or not scan.masks:
        return case
    path = out / datalist.MERGED / f"{case.id}.nii.gz"
    indices = table.decode(merge(masks_of(scan.masks, table), table).objects)
    image = read_header(case.image)
    write_volume(path, compact(reoriented(indices, image.canonical().affine, image.affine)), image.affine)
    return replace(case, label=path)
