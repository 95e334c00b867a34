"""Refuse what has learnt from a patient who is tested now, from another split, or from other organs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .. import ranks
from ..errors import SemclError
from . import datalist
from .attention import attention_path
from .case import Case
from .label_table import LabelTable
from .lineage import cohort_states, valid_splits
from .provenance import (
    ATTENTION,
    LABELLED_MAPS,
    SIMULATED,
    STAGES_AGAIN,
    Note,
    all_seen,
    hashed,
    note_of,
    notes_in,
    simulated_maps,
)


def require_predicted(cases: Sequence[Case], folders: Sequence[str]) -> None:
    """Refuse to measure attention maps that were made from the very label maps they are compared with.

    Args:
        cases: those that are measured.
        folders: of label maps.

    Raises:
        SemclError: naming the folder and the first case.
    """
    learnt = [case.id for case in cases if case.label is not None and case.fold is not None]
    for folder in folders:
        if learnt and simulated_maps(folder):
            raise SemclError(
                "attention maps of training cases are simulated from their label maps: their Dice says nothing",
                case=learnt[0],
                found=f"{LABELLED_MAPS}: {SIMULATED} in {Path(folder) / ATTENTION}",
                expected="maps of a network that has not seen the cases",
                remedy="measure section testing, or run coarse.yaml again with --labelled_maps cross-fitted",
            )


def require_split(attention_dir: str, dataset_dir: str, table: LabelTable) -> None:
    """Refuse attention maps that the coarse stage cross-fitted for another split or other organs.

    Maps made elsewhere have no split, and are accepted.

    Raises:
        SemclError: naming both splits.
    """
    known = valid_splits(dataset_dir)
    for path, note in notes_in(Path(attention_dir)):
        if path.name == ATTENTION and known and note.get("cohort") not in known:
            raise SemclError(
                "the attention maps were made for another split of the cohort, or for other scans",
                found=f"cohort {note.get('cohort')} in {path}",
                expected=f"cohort {' or '.join(known)}, that of {Path(dataset_dir) / datalist.DATALIST_FILE}",
                remedy="run coarse.yaml again: its networks learnt from patients who may now be tested",
            )
        _refuse_organs(path, note, table, "run coarse.yaml again")


def require_unseen(
    cases: Sequence[Case],
    dataset_dir: str,
    table: LabelTable,
    weights: Sequence[str] = (),
    folders: Sequence[str] = (),
    fallback: str | None = None,
    lacking: bool = False,
) -> None:
    """Refuse weights and maps made with other organs, and those trained on a patient who is now tested.

    Cases of a datalist with a label map and no fold are tested. Weights may have seen none of them, also where a stage
    works on others, since what it makes may be learnt from; maps none that the stage works on.

    Args:
        cases: those the stage works on.
        dataset_dir: where they come from.
        table: the label table the maps are read and written by.
        weights: files of networks.
        folders: of label maps.
        fallback: weights used for cases without a map in ``folders``.
        lacking: whether they are used for all, since given maps lack organs.

    Raises:
        SemclError: naming the file, and the first case that it was trained on or the other label table; when the
            cohort's own table numbers organs in another way.
    """
    used = lacking or any(not attention_path(folder, case.id).is_file() for folder in folders for case in cases)
    files = [Path(path) for path in (*weights, *([fallback] if fallback and used else []))]
    notes: list[tuple[Path, Note]] = [(path.with_suffix(".json"), note_of(path)) for path in files if path.is_file()]
    for path, note in notes:
        if "organs" not in note and ranks.number() == 0:
            print(f"warning: {path} does not state the organs and patients the weights were made with", file=sys.stderr)
    table.require_same_numbers(dataset_dir)
    known = cohort_states(dataset_dir)
    every = _tested(dataset_dir) if known else []
    own = [case for case in cases if known and case.fold is None and case.label is not None]
    made = [(path, note, known, every) for path, note in notes]
    for path, note in (found for folder in folders for found in notes_in(Path(folder))):
        made.append((path, note, valid_splits(dataset_dir) if path.name == ATTENTION else known, own))
    for path, note, valid, tested in made:
        _refuse_organs(path, note, table, f"put back the labels.yaml that was written with it, or {STAGES_AGAIN}")
        _refuse_seen(path, note, tested, valid)


def require_start_unseen(dataset_dir: str | Path, weights: Sequence[str | None]) -> None:
    """Refuse to begin with weights that were trained on a patient who is now tested.

    Weights of other tools say nothing of whom they have seen, and are accepted; so are those of other cohorts.

    Args:
        dataset_dir: the cohort.
        weights: files that a stage begins with; None for none.

    Raises:
        SemclError: naming the file, and the first case that it was trained on.
    """
    known = cohort_states(dataset_dir)
    for path in [Path(one) for one in weights if one is not None] if known else []:
        _refuse_seen(path.with_suffix(".json"), note_of(path), _tested(dataset_dir), known)


def _tested(dataset_dir: str | Path) -> list[Case]:
    """The cases of a datalist that are tested."""
    return [case for case in datalist.load(dataset_dir) if case.fold is None and case.label is not None]


def _refuse_seen(path: Path, note: Note, tested: Sequence[Case], valid: Sequence[str]) -> None:
    """Refuse a network that was trained on a patient who is tested, by another split than those that are valid."""
    for one in all_seen(path, note):
        patients, learnt = (set(str(one.get(key, "")).split()) for key in ("patients", "cases"))  # none in older notes
        cohort = str(one.get("cohort"))
        seen = [
            case for case in tested if hashed(cohort, case.patient) in patients or hashed(cohort, case.id) in learnt
        ]
        if seen and cohort not in valid:
            began = "" if one is note else ", whose weights it began with"
            raise SemclError(
                "a patient who is tested is one that was learnt from",
                case=seen[0].id,
                found=f"{len(seen)} of {len(tested)} tested cases in {path}, of cohort {cohort}{began}",
                expected=f"networks that have not seen them, as those made for cohort {' or '.join(valid)}",
                remedy=f"{STAGES_AGAIN}; if it is another person, give patients and cases other ids",
            )


def _refuse_organs(path: Path, note: Note, table: LabelTable, remedy: str) -> None:
    if note.get("organs", table.organs_digest()) != table.organs_digest():
        raise SemclError(
            "made with the organs of another label table",
            found=f"organs {note['organs']} in {path}",
            expected=f"organs {table.organs_digest()}, as labels.yaml has them: {', '.join(table.names)}",
            remedy=remedy,
        )
