"""Label maps made by any tool: folders of ground truth and predictions become cases that can be measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..cohort.case import UNKNOWN_PHASE, Case, name_errors
from ..cohort.label_table import LabelTable, Organ
from ..cohort.label_table_checks import IGNORED_INDEX
from ..cohort.volume import read
from ..cohort.volume_errors import ERROR
from ..cohort.volume_files import volumes
from ..errors import SemclError, raise_all
from ..intake import case_table
from ..intake.draft import label_values
from ..intake.header_checks import compare, open_header
from ..intake.survey import refuse_organs
from ..printable import counted


def common_cases(truth: Path, methods: Mapping[str, Path]) -> set[str]:
    """Ids of the cases of a folder of ground truth that every method has a map of; names the others.

    Raises:
        SemclError: when there are none, or a folder is missing or empty.
    """
    cases = [Case(case, case, UNKNOWN_PHASE, path, path) for case, path in _volumes(truth, "label maps").items()]
    kept, left_out = measurable(cases, methods, True)
    print_left_out(left_out)
    return {case.id for case in kept}


def cases_from_folders(
    truth: Path, images: Path | None, listed: Path | None, only: Collection[str] | None = None
) -> list[Case]:
    """One case for each label map in a folder.

    Args:
        truth: folder of ground-truth label maps.
        images: folder of scans with the same names, for pictures.
        listed: CSV with columns case, patient and optionally phase and annotated; without it each case is a patient.
        only: ids of the cases wanted; None for all.

    Raises:
        SemclError: when a folder is missing or empty, the CSV lacks a case, or an id is not a valid name.
    """
    maps = {case: path for case, path in _volumes(truth, "label maps").items() if only is None or case in only}
    scans = _volumes(images, "scans") if images else maps
    rows = {row.case: row for row in case_table.read_rows(listed, ("case", "patient"))} if listed else {}
    for case in maps:
        if case not in scans:
            raise _lacks("image", case, f"no scan with that name in {images}")
        if listed and case not in rows:
            raise _lacks("row in the table of cases", case, f"no row in {listed}")
    cases = [
        Case(
            case,
            rows[case].patient if listed else case,
            (rows[case].phase if listed else None) or UNKNOWN_PHASE,
            scans[case],
            path,
            annotated=rows[case].annotated if listed else None,
        )
        for case, path in maps.items()
    ]
    raise_all(name_errors(cases), of="the names of cases")
    return cases


def misfits(case: Case) -> list[SemclError]:
    """Why a scan cannot be shown with its label map: by the headers of both, before anything is measured."""
    if case.label is None:
        return []
    (image, wrong), (label, more) = (
        open_header(path, case.id, kind) for path, kind in ((case.image, "image"), (case.label, "label map"))
    )
    apart = compare(image, label, case.id, case.label) if image is not None and label is not None else None
    found = [*wrong, *more, *([apart] if apart else [])]
    return [one.error for one in found if one.severity == ERROR]


def measurable(
    cases: Sequence[Case], methods: Mapping[str, Path], common: bool, others: Collection[str] = ()
) -> tuple[list[Case], dict[str, list[str]]]:
    """The cases that can be measured, and the ids of those left out by the reason.

    Args:
        cases: those to measure.
        methods: name -> folder of label maps.
        common: leave out cases that a method has no map of; False leaves them in, to be refused.
        others: ids of a cohort's other cases, which are not to be measured.

    Raises:
        SemclError: when no case is left.
    """
    left_out: dict[str, list[str]] = {}
    found = {name: set(volumes(path)) if path.is_dir() else set() for name, path in methods.items()} if common else {}
    kept = []
    for case in cases:
        lacking = [name for name, maps in found.items() if case.id not in maps]
        why = "without a label map" if case.label is None else f"no map of {' or '.join(lacking)}" if lacking else ""
        if why:
            left_out.setdefault(why, []).append(case.id)
        else:
            kept.append(case)
    if common:
        left_out |= without_truth(cases, methods, others)
    if cases and not kept:
        raise SemclError(
            "there is no case to measure",
            found="; ".join(f"{why}: {', '.join(left)}" for why, left in left_out.items()),
            expected="a case with a label map, and with a map of every method",
            remedy="point the options at folders of the same cases, named alike",
        )
    return kept, left_out


def without_truth(
    cases: Sequence[Case], methods: Mapping[str, Path], others: Collection[str] = ()
) -> dict[str, list[str]]:
    """Ids of the label maps of each method that are neither of ``cases`` nor of ``others``, by the reason."""
    known = {case.id for case in cases}.union(others)
    maps = {name: set(volumes(path)) - known if path.is_dir() else set() for name, path in methods.items()}
    return {f"no ground truth for the maps of {name}": sorted(left) for name, left in maps.items() if left}


def print_left_out(left_out: Mapping[str, Sequence[str]]) -> None:
    """Name the cases that are not measured, by the reason."""
    for why, left in left_out.items():
        print(f"not measured, {why} ({len(left)}): {', '.join(left)}")


def label_table_for(cases: list[Case], given: LabelTable | None, predicted: Sequence[Path] = ()) -> LabelTable:
    """The given label table, or one made of every value in the ground truth and predictions, with the cases' phases.

    Raises:
        SemclError: when the maps hold no labels, or a case names annotated organs that the table does not have.
    """
    phases = tuple(sorted({case.phase for case in cases}))
    table = replace(given, phases=phases) if given else LabelTable(_organs(cases, predicted), phases)
    refuse_organs({organ for case in cases for organ in case.annotated or ()}, table)
    return table


def _organs(cases: list[Case], predicted: Sequence[Path]) -> tuple[Organ, ...]:
    """One organ for every value in the label maps."""
    values: set[int] = set()
    known = {case.id for case in cases}
    maps = [(case.id, str(case.label)) for case in cases]
    for folder in predicted:
        maps += [(case, str(path)) for case, path in _volumes(folder, "label maps").items() if case in known]
    for case, path in maps:
        found = label_values(read(path, case, indices=True).numpy(), Path(path), case, "--truth and --pred")
        values |= found - {IGNORED_INDEX}
    if not values:
        raise SemclError(
            "there is nothing to measure",
            found=f"no label in any of {counted(len(cases), 'label map')}",
            expected="at least one organ in one case",
            remedy="point --truth at the folder of ground-truth label maps",
        )
    return tuple(Organ(f"label_{value}", value) for value in sorted(values))


def _volumes(folder: Path, what: str) -> Mapping[str, Path]:
    found = volumes(folder) if folder.is_dir() else {}
    if not found:
        raise SemclError(
            f"there are no {what}" if folder.is_dir() else "a folder is missing",
            found=f"no volumes in {folder}" if folder.is_dir() else f"no {folder}",
            expected="a folder of volumes (.nii.gz, .nii, .nrrd, .mha, .mhd), named by case",
            remedy="fix the path",
        )
    return found


def _lacks(what: str, case: str, found: str) -> SemclError:
    return SemclError(
        f"a case without {what}", case=case, found=found, expected="one", remedy="add it, or leave it out"
    )
