"""Provenance of weights and label maps: the split, label table and training patients, noted beside them and checked.

A leak is a network that was trained on a patient who is now tested. Notes hold hashes of patients and of their cases,
so that a leak is found whatever else changed in the cohort, names of patients too: added scans and other folds are
harmless, another split of patients is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import write_text
from ..sidefiles import damaged, read_note
from .case import Case, digest
from .label_table import LabelTable
from .lineage import cohort_states
from .selection import labels_of

ATTENTION = "attention.json"  # in a folder of attention maps
LABELLED_MAPS = "labelled_maps"  # key of the note on attention maps: how those of labelled cases were made
CROSS_FITTED, SIMULATED = "cross-fitted", "simulated"
PREDICTIONS = "predictions.json"  # in a folder of predictions
NOTES = (ATTENTION, PREDICTIONS)
LEARNT_LABELS = "learnt_labels"  # key of the note on coarse weights: cases whose label maps they learnt from, as hashes
BEFORE = "before"  # key of the note beside weights: cohorts that the weights they began with had learnt from
STAGES_AGAIN = "run coarse.yaml, pretrain.yaml, train.yaml and inference.yaml again for this split"
Note = Mapping[str, Any]


def provenance(
    origin: Note, cases: Sequence[Case], table: LabelTable, starts_from: Sequence[str] = ()
) -> dict[str, Any]:
    """The note to write beside a file: its origin, the organs, and the training patients and cases as hashes.

    Args:
        origin: stage, cohort and label table, as the stages' configs have them.
        cases: all cases of the cohort.
        table: the label table.
        starts_from: weights that training begins with: whom they saw in other cohorts is noted too, as ``before``.

    Raises:
        SemclError: when a note beside those cannot be read.
    """
    cohort = origin.get("cohort", digest(cases))
    learnt = [case for case in cases if case.fold is not None]
    note = {
        **origin,
        "cohort": cohort,
        "organs": table.organs_digest(),
        "patients": " ".join(sorted({hashed(cohort, case.patient) for case in learnt})),
        "cases": " ".join(sorted(hashed(cohort, case.id) for case in learnt)),
    }
    seen: list[Note] = []
    for path in map(Path, starts_from):
        for one in all_seen(path.with_suffix(".json"), note_of(path)):
            part = {key: one.get(key) for key in ("cohort", "patients", "cases")}
            if part["cohort"] not in (None, cohort) and part not in seen:
                seen.append(part)
    return {**note, BEFORE: seen} if seen else note


def learnt_from(dataset_dir: str | Path, table: LabelTable) -> dict[str, list[str]]:
    """What weights' notes may say for the stages of a cohort to learn on from them: its states, and its organs."""
    return {"cohort": cohort_states(dataset_dir), "organs": [table.organs_digest()]}


def learnt_labels(origin: Note, cases: Sequence[Case]) -> dict[str, str]:
    """What to note of weights: the training cases whose label maps they learn from, of those that have one here."""
    learnt = [case.id for case in cases if case.fold is not None and case.label is not None]
    return {LEARNT_LABELS: " ".join(sorted(hashed(origin["cohort"], case) for case in learnt))}


def with_learnt_labels(note: Note, cases: Sequence[Case]) -> list[Case]:
    """The cases, without label maps of training patients of whom weights of this note learnt from none.

    A scan that was added to a patient keeps its own: these weights have seen the patient.
    """
    if LEARNT_LABELS not in note or "cohort" not in note:
        return list(cases)
    known = set(str(note[LEARNT_LABELS]).split())
    patients = {case.patient for case in cases if hashed(note["cohort"], case.id) in known}
    return labels_of(cases, [case for case in cases if case.patient in patients])


def hashed(cohort: str, name: str) -> str:
    """The hash of a patient's or a case's name, in a cohort."""
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
    for name in NOTES:
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


def all_seen(path: Path, note: Note) -> list[Note]:
    """The note on weights or maps, and what it says of the weights that those began with.

    Raises:
        SemclError: when that is damaged.
    """
    before = note.get(BEFORE, [])
    if not isinstance(before, list) or not all(isinstance(one, dict) for one in before):
        raise damaged(path, f"{BEFORE} is not a list of notes", "the note a stage writes", "make these files again")
    return [note, *before]
