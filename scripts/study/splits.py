"""Training and testing cases of a study: splits of a cohort, and the label maps each run may see, as datalists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..cohort.case import Case, digest
from ..cohort.datalist import save
from ..cohort.label_table import LabelTable
from ..errors import SemclError
from ..printable import counted

OWN_SPLIT = "own"  # the cohort's training and testing cases


def split_cases(cases: Sequence[Case], folds: int, seed: int = 0) -> dict[str, list[Case]]:
    """Split -> cases: the cohort's own split for ``folds`` 0, else one for each fold that is tested.

    Patients with label maps are assigned to folds at random; the others are trained on in every split (pretraining
    needs no label maps). Testing cases have label maps.

    Raises:
        SemclError: when there are fewer patients than folds, or no case to train on or to test.
    """
    labelled = sorted({case.patient for case in cases if case.label is not None})
    if folds and not 2 <= folds <= len(labelled):
        raise SemclError(
            "the cohort cannot be split so",
            found=f"--folds {folds}, {counted(len(labelled), 'patient')} with label maps",
            expected="2 or more folds, a patient in each; 0 for the cohort's own training and testing cases",
            remedy="set --folds",
        )
    if folds:
        order = np.random.default_rng(seed).permutation(labelled).tolist()
        part = {patient: number % folds for number, patient in enumerate(order)}
        splits = {f"fold {fold + 1} of {folds}": list(_assigned(cases, part, fold)) for fold in range(folds)}
    else:
        splits = {OWN_SPLIT: [case for case in cases if case.fold is not None or case.label is not None]}
    for use, possible in {
        "tested": all(any(case.fold is None for case in members) for members in splits.values()),
        "trained on": all(any(case.fold is not None and case.label for case in members) for members in splits.values()),
    }.items():
        if not possible:
            raise SemclError(
                f"no case is left to be {use}",
                found=f"no {'testing' if use == 'tested' else 'training'} case with a label map",
                expected="at least one",
                remedy="set --folds, or prepare the cohort with another --test_share",
            )
    return splits


def write_datalist(
    members: Sequence[Case], folder: Path, table: LabelTable, cohort: Sequence[Case], modality: str | None = None
) -> None:
    """Write the datalist and label table that the stages of a run read; ``cohort`` holds all cases it splits."""
    table.save(folder)
    save(members, folder, split_of=digest(cohort), modality=modality)


def _assigned(cases: Sequence[Case], part: dict[str, int], tested: int) -> Iterator[Case]:
    """The cases of a split: those of the tested part without a fold, the others with their part as fold."""
    for case in cases:
        own = part.get(case.patient, 0 if tested else 1)
        if own != tested:
            yield replace(case, fold=own)
        elif case.label is not None:
            yield replace(case, fold=None)
