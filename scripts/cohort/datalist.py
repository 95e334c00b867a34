"""The datalist: the scans of a cohort with their patients, phases and folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..bundle_folder import is_release
from ..errors import SemclError, one_of, raise_all
from ..files import write_text
from ..plain import read_json, short
from .case import UNKNOWN_PHASE, Case, check_split, missing_files, name_errors
from .folder import refuse_unfinished
from .label_table import LABELS_FILE, LabelTable
from .volume_files import VOLUME_SUFFIXES, overlooked, volumes

DATALIST_FILE = "datalist.json"
MERGED = "labels"  # folder of a cohort with label maps that were merged from mask files
SECTIONS = ("training", "testing")
MOST_FOLDS = 1000
WANTED = (*SECTIONS, "unlabelled", "all")
UNCLEAR = "the datalist cannot be understood"
PREPARE_AGAIN = "run `python -m scripts prepare` again"
ENTRIES = "training and testing lists of {case, patient, phase, image, label, fold}"


def save(
    cases: Sequence[Case],
    folder: Path,
    split_of: str | None = None,
    split: Mapping[str, float] | None = None,
    extends: Sequence[str] = (),
    modality: str | None = None,
) -> None:
    """Write ``folder``/datalist.json; files inside the folder are named relative to it, others by full path.

    Args:
        cases: of the cohort.
        folder: the cohort's.
        split_of: digest of the cohort of which these cases are another split; its attention maps are valid here.
        split: the numbers that the patients were split by.
        extends: digests of earlier states of this cohort, as ``extended`` finds them.
        modality: of the scans where it is not CT.
    """

    def name(path: Path | None) -> str | None:
        if path is None:
            return None
        full = path.parent.resolve() / path.name  # what a link points to may have a name without suffix
        root = folder.resolve()
        return str(full.relative_to(root) if full.is_relative_to(root) else full)

    sections: dict[str, Any] = {} if split_of is None else {"split_of": split_of}
    sections |= {"split": dict(split)} if split else {}
    sections |= {"extends": " ".join(extends)} if extends else {}
    sections |= {"modality": modality} if modality else {}
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
    write_text(folder / DATALIST_FILE, json.dumps(sections, indent=1))


def datalist_entries(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Cases as entries of a MONAI datalist: "case", "patient", "image", and "label" where there is one."""
    named = [{"case": case.id, "patient": case.patient, "image": case.image, "label": case.label} for case in cases]
    return [{key: str(value) for key, value in entry.items() if value is not None} for entry in named]


def load(dataset_dir: str | Path, section: str = "all", need_label: bool = False) -> list[Case]:
    """Cases of a cohort, or of a plain folder of volumes (each then a patient of its own, in testing).

    Args:
        dataset_dir: folder with datalist.json, or with volumes.
        section: "training", "testing", "unlabelled" (training cases without a label map) or "all".
        need_label: whether a case without a label map is an error.

    Raises:
        SemclError: when the folder is missing or empty, or holds volumes that would be overlooked, the datalist is
            invalid, one of its files is missing, a label map is missing where one is needed, an id is not a valid name,
            a case is listed twice, or a patient is on two sides of a split.
    """
    one_of("section", section, WANTED)
    folder = Path(dataset_dir)
    remedy = "make a cohort with `python -m scripts prepare` or `python -m scripts phantom`, then pass --dataset_dir"
    if not folder.is_dir():
        raise SemclError(
            "dataset_dir is not a folder", found=str(dataset_dir), expected="a folder with datalist.json", remedy=remedy
        )
    refuse_unfinished(folder)
    path = folder / DATALIST_FILE
    if path.is_file():
        cases = listed_cases(path)
    else:
        _refuse_overlooked(folder)
        cases = [Case(case, case, UNKNOWN_PHASE, file) for case, file in volumes(folder).items()]
    if not cases:
        raise SemclError(
            "dataset_dir holds no cases", found=f"no {DATALIST_FILE} and no volumes in {folder}",
            expected=f"{DATALIST_FILE}, or files ending in {', '.join(VOLUME_SUFFIXES)}", remedy=remedy,
        )  # fmt: skip
    raise_all(name_errors(cases), of="the names of cases")
    check_split(cases)
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
    raise_all([error for case in cases for error in missing_files(case, need_label)])
    return cases


def _refuse_overlooked(folder: Path) -> None:
    """Refuse a folder of volumes of which some would be left out without a word."""
    left = overlooked(folder)
    if left:
        raise SemclError(
            "dataset_dir holds files that are named like volumes and cannot be read as such",
            found=f"{left[0].name}" + f" and {len(left) - 1} more" * (len(left) > 1) + f" in {folder}",
            expected=f"files that exist, ending in {', '.join(VOLUME_SUFFIXES)}, in lower case",
            remedy="rename or restore them, or move them away",
        )


def content(path: Path) -> dict[str, Any]:
    """The content of a datalist file, unchecked; SemclError for anything but JSON."""
    found: dict[str, Any] = read_json(path, ENTRIES, UNCLEAR, PREPARE_AGAIN)
    return found


def stated_modality(dataset_dir: str | Path) -> str | None:
    """The modality that a cohort was prepared as, where that is not CT; None for other cohorts and plain folders."""
    path = Path(dataset_dir) / DATALIST_FILE
    found: Any = content(path) if path.is_file() else None
    return str(found["modality"]) if isinstance(found, dict) and "modality" in found else None


def output_folder(dataset_dir: str, bundle_root: str) -> str:
    """Where inference writes: into a cohort; not among the scans of a plain folder, but into eval/<name of the folder>.

    That is in a release's own folder, as MONAI's bundles have it, else in the working directory.
    """
    if (Path(dataset_dir) / DATALIST_FILE).is_file():
        return dataset_dir
    place = Path(bundle_root) if is_release(bundle_root) else Path()
    return str(place / "eval" / Path(dataset_dir).resolve().name)


def listed_cases(path: Path) -> list[Case]:
    """The cases of a datalist file, whether or not their files exist.

    Raises:
        SemclError: for anything that is not a datalist.
    """
    listed = content(path)
    try:
        unknown = [name for name, part in listed.items() if isinstance(part, list) and name not in SECTIONS]
        if unknown:
            raise ValueError(f"section {unknown[0]!r}, which no stage would read")
        entries = [(section, entry) for section in SECTIONS for entry in listed.get(section, [])]
        return [
            Case(
                id=str(entry["case"]),
                patient=str(entry["patient"]),
                phase=_phase(entry.get("phase", UNKNOWN_PHASE)),
                image=path.parent / entry["image"],
                label=path.parent / entry["label"] if entry.get("label") else None,
                fold=_fold(entry["fold"]) if section == "training" else None,
                annotated=_organs(entry["annotated"]) if "annotated" in entry else None,
            )
            for section, entry in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise SemclError(
            UNCLEAR, found=f"{path}: {type(error).__name__} {short(str(error))}", expected=ENTRIES, remedy=PREPARE_AGAIN
        ) from error


def _phase(given: object) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ValueError(f"phase {given!r} is not a name")
    return str(given)


def _fold(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < MOST_FOLDS:
        shown = repr(given)
        raise ValueError(f"fold {shown[:40]} is not a whole number from 0 to {MOST_FOLDS - 1}")
    return given


def _organs(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"annotated {given!r} is not a list of names")
    return tuple(given)


def _refuse_organs(cases: Sequence[Case], folder: Path) -> None:
    """Refuse annotated organs that are not in the cohort's label table: a typo would hide an organ."""
    stated = {organ: case.id for case in cases for organ in case.annotated or ()}
    if not stated or not (folder / LABELS_FILE).is_file():
        return
    names = LabelTable.load(folder).names
    for organ in sorted(set(stated) - set(names)):
        raise SemclError(
            "the datalist names an annotated organ that is not in the label table",
            case=stated[organ],
            found=organ,
            expected=f"one of {', '.join(names)}",
            remedy=f"correct `annotated` in {folder / DATALIST_FILE}",
        )
