"""Provenance of weights and label maps: the split, label table and training patients, noted beside them and checked.

A leak is a network that was trained on a patient who is now tested. Notes hold hashes of patients and of their cases,
so that a leak is found whatever else changed in the cohort, names of patients too: added scans and other folds are
harmless, another split of patients is not.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import ranks
from ..errors import SemclError
from ..files import write_text
from ..sidefiles import damaged, read_note
from . import datalist
from .attention import attention_path
from .case import Case, digest
from .label_table import LabelTable
from .lineage import cohort_states, valid_splits

ATTENTION = "attention.json"  # in a folder of attention maps
LABELLED_MAPS = "labelled_maps"  # key of the note on attention maps: how those of labelled cases were made
CROSS_FITTED, SIMULATED = "cross-fitted", "simulated"
PREDICTIONS = "predictions.json"  # in a folder of predictions
STAGES_AGAIN = "run coarse.yaml, pretrain.yaml, train.yaml and inference.yaml again for this split"
Note = Mapping[str, Any]


def provenance(origin: Note, cases: Sequence[Case], table: LabelTable) -> dict[str, Any]:
    """The note to write beside a file: its origin, the organs, and the training patients and cases as hashes.

    Args:
        origin: stage, cohort and label table, as the stages' configs have them.
        cases: all cases of the cohort.
        table: the label table.
    """
    cohort = origin.get("cohort", digest(cases))
    learnt = [case for case in cases if case.fold is not None]
    return {
        **origin,
        "cohort": cohort,
        "organs": table.organs_digest(),
        "patients": " ".join(sorted({_hashed(cohort, case.patient) for case in learnt})),
        "cases": " ".join(sorted(_hashed(cohort, case.id) for case in learnt)),
    }


def learnt_from(dataset_dir: str | Path, table: LabelTable) -> dict[str, list[str]]:
    """What weights' notes may say for the stages of a cohort to learn on from them: its states, and its organs."""
    return {"cohort": cohort_states(dataset_dir), "organs": [table.organs_digest()]}


def _hashed(cohort: str, name: str) -> str:
    return hashlib.sha256(f"{cohort} {name}".encode()).hexdigest()[:12]


def note_attention(folder: str | Path, note: Note) -> None:
    """Write the note of a folder of attention maps."""
    write_text(Path(folder) / ATTENTION, json.dumps(note, indent=1))


def has_note(folder: str | Path) -> bool:
    """Whether a folder of attention maps records what they were made with."""
    return (Path(folder) / ATTENTION).is_file()


def stale_maps(folder: str | Path, accepted: Mapping[str, Sequence[str]]) -> bool:
    """Whether the coarse stage made a folder's maps for another split or other organs than those ``learnt_from``."""
    found = [one for path, one in notes_in(Path(folder)) if path.name == ATTENTION]
    return any(one.get(key) not in values for one in found for key, values in accepted.items())


def note_of(weights: Path) -> dict[str, Any]:
    """The note beside weights; empty without one.

    Raises:
        SemclError: when it cannot be read.
    """
    path = weights.with_suffix(".json")
    expected, remedy = "the note a stage writes beside its weights", "make the weights again, or copy both files again"
    return read_note(path, expected, remedy) if path.is_file() else {}


def notes_in(folder: Path) -> list[tuple[Path, Note]]:
    """The notes on a folder's label maps, each with its file; none for maps of other tools."""
    found: list[tuple[Path, Note]] = []
    for name in (ATTENTION, PREDICTIONS):
        path = folder / name
        if path.is_file():
            expected, remedy = "the note a stage writes", "make the maps of this folder again"
            note = read_note(path, expected, remedy)
            made_by = [note] if name == ATTENTION else note.get("made_by", [])
            if not isinstance(made_by, list) or not all(isinstance(one, dict) for one in made_by):
                raise damaged(path, "made_by is not a list of notes", expected, remedy)
            found += [(path, one) for one in made_by]
    return found


def simulated_maps(folder: str | Path) -> bool:
    """Whether a folder holds attention maps of labelled cases that were simulated from their own label maps."""
    return any(path.name == ATTENTION and note.get(LABELLED_MAPS) == SIMULATED for path, note in notes_in(Path(folder)))


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
        if note.get("cohort") not in valid:
            _refuse_seen(path, note, tested, known)


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
        note = note_of(path)
        if note.get("cohort") not in known:
            _refuse_seen(path.with_suffix(".json"), note, _tested(dataset_dir), known)


def _tested(dataset_dir: str | Path) -> list[Case]:
    """The cases of a datalist that are tested."""
    return [case for case in datalist.load(dataset_dir) if case.fold is None and case.label is not None]


def _refuse_seen(path: Path, note: Note, tested: Sequence[Case], splits: Sequence[str]) -> None:
    """Refuse a network of another split that was trained on a patient who is tested."""
    patients, learnt = (set(str(note.get(key, "")).split()) for key in ("patients", "cases"))  # none in older notes
    cohort = str(note.get("cohort"))
    seen = [case for case in tested if _hashed(cohort, case.patient) in patients or _hashed(cohort, case.id) in learnt]
    if seen:
        raise SemclError(
            "a patient who is tested is one that was learnt from",
            case=seen[0].id,
            found=f"{len(seen)} of {len(tested)} tested cases in {path}, of cohort {note.get('cohort')}",
            expected=f"networks that have not seen them, as those made for cohort {' or '.join(splits)}",
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
