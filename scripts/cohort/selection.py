"""Selection of training scans: a share of the labelled patients, all but a fold, pseudo-labelled scans too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import SemclError, one_of, raise_all
from .case import Case, folds, unlabelled
from .volume_files import volumes


def leave_out(cases: Sequence[Case], fold: int | None) -> list[Case]:
    """The cases without those of a fold; all of them for None.

    Raises:
        SemclError: when no case is in the fold, or all are.
    """
    if fold is None:
        return list(cases)
    kept = [case for case in cases if case.fold != fold]
    if len(kept) in (0, len(cases)):
        raise SemclError(
            "a fold cannot be left out",
            found=f"{len(cases) - len(kept)} of {len(cases)} training cases in fold {fold}",
            expected=f"one of {', '.join(map(str, folds(cases)))}, and another beside it",
            remedy="set without_fold to one of them, or prepare the cohort with more --folds",
        )
    return kept


def hold_out(
    cases: Sequence[Case], labelled: Sequence[Case], fold: int | None, share: float, least: int, seed: int
) -> tuple[list[Case], list[Case]]:
    """The cases to learn from, and those of other patients, held out of training for the calibration.

    Args:
        cases: to learn from, if all are.
        labelled: those with label maps of their own, which alone are held out.
        fold: the fold that is left out, whose labelled cases calibrate; None: a share of the labelled patients does.
        share: of the patients; at least 2 are held out. 0 holds out none.
        least: labelled patients from which some are held out; fewer are all learnt from.
        seed: of the choice of patients.

    Raises:
        SemclError: when no case is in the fold, or all are, or the share is not from 0 to below 1.
    """
    if fold is not None:
        return leave_out(cases, fold), [case for case in labelled if case.fold == fold]
    if not 0 <= share < 1:
        raise SemclError(
            "a share of the patients", found=f"calibration_share {share}", expected="from 0 to below 1",
            remedy="set calibration_share",
        )  # fmt: skip
    patients = np.random.default_rng(seed).permutation(sorted({case.patient for case in labelled}))
    held = min(max(2, round(share * len(patients))), len(patients) - 1)  # someone is left to learn from
    count = held if share and len(patients) >= max(least, 3) else 0
    chosen = set(patients[:count].tolist())
    return [case for case in cases if case.patient not in chosen], [case for case in labelled if case.patient in chosen]


def share_of_patients(cases: Sequence[Case], share: float, seed: int) -> list[Case]:
    """The labelled cases of a share of the labelled patients, at least one; a larger share includes a smaller one.

    Raises:
        SemclError: when no case has a label map, or the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise SemclError(
            "a share of the patients", found=f"labelled {share}", expected="above 0, at most 1", remedy="set labelled"
        )
    labelled = [case for case in cases if case.label is not None]
    if not labelled:
        raise unlabelled(cases[0])
    patients = np.random.default_rng(seed).permutation(sorted({case.patient for case in labelled}))
    kept = set(patients[: max(1, round(share * len(patients)))].tolist())
    return [case for case in labelled if case.patient in kept]


def labels_of(cases: Sequence[Case], learnt: Sequence[Case]) -> list[Case]:
    """The cases, without the label maps of training cases that are not learnt from; testing cases keep theirs."""
    known = {case.id for case in learnt}
    return [case if case.fold is None or case.id in known else replace(case, label=None) for case in cases]


def require_annotated(
    cases: Sequence[Case], organs: Sequence[str], objects: Sequence[int] | None = None, without: int | None = None
) -> None:
    """Refuse to teach a network of all organs one that no case annotates: it would be drawn anywhere in the background.

    Args:
        cases: to learn from, with label maps.
        organs: of the label table.
        objects: numbers, from 1 on, of those that the network learns; None: all.
        without: the fold that the cases lack, for the error: cross-fitting trains a network without each.

    Raises:
        SemclError: naming the organs.
    """
    taught = organs if objects is None else [organs[number - 1] for number in objects]
    unknown = [organ for organ in taught if not any(case.annotates(organ) for case in cases)]
    if unknown:
        other = "" if without is None else f" outside fold {without}, and cross-fitting trains a network on those"
        way = "" if without is None else "set labelled_maps to simulated, "
        raise SemclError(
            f"{', '.join(unknown)}: annotated in no case that is learnt from",
            found=f"{len(cases)} cases with label maps{other}, whose `annotated` in the datalist leaves them out",
            expected="each organ annotated in one case at least",
            remedy=f"{way}prepare the cohort with a label table without these organs, add a case that annotates them, "
            "or set labelled to more of the patients",
        )


def some_unlabelled(cases: Sequence[Case], most: int, seed: int) -> list[Case]:
    """At most so many training cases without label maps, as ``drawn`` draws them."""
    return drawn([case for case in cases if case.fold is not None and case.label is None], most, seed)


def drawn(cases: Sequence[Case], most: int, seed: int) -> list[Case]:
    """At most so many cases, drawn at random, a patient's second after all firsts."""
    order = [cases[place] for place in np.random.default_rng(seed).permutation(len(cases))]
    turns: Counter[str] = Counter()
    turn = {}
    for case in order:
        turn[case.id] = turns[case.patient]
        turns[case.patient] += 1
    return sorted(order, key=lambda case: turn[case.id])[:most]


def with_pseudo_labels(learnt: Sequence[Case], training: Sequence[Case], folder: str | None) -> list[Case]:
    """The cases of ``learnt``, and those of ``training`` without label maps with their pseudo-labels.

    Args:
        learnt: labelled cases.
        training: all training cases, or those of them that may be learnt from.
        folder: of <case>.nii.gz, of pictures <case>.png, written by inference.yaml --section unlabelled --certain 0.8,
            say; None for none.

    Raises:
        SemclError: naming each case that has no map there.
    """
    if folder is None:
        return list(learnt)
    maps = volumes(Path(folder)) if Path(folder).is_dir() else {}
    lacking = [case for case in training if case.label is None]
    if not lacking:
        raise SemclError(
            "there are no pseudo-labels to learn from",
            found=f"pseudo_dir {folder}, and a label map of every training scan",
            expected="training scans without a label map",
            remedy="leave pseudo_dir and self_training.yaml out, or add scans: semcl prepare --unlabelled",
        )
    raise_all(
        [
            SemclError(
                "a scan without a label map or pseudo-label",
                case=case.id,
                found=f"no {case.id}.nii.gz (of a picture .png) in {folder}",
                expected="a map for each training scan without a label map",
                remedy=f"run inference.yaml --section unlabelled --certain 0.8 --prediction_dir {folder} first",
            )
            for case in lacking
            if case.id not in maps
        ]
    )
    return [*learnt, *(replace(case, label=maps[case.id], annotated=None, pseudo=True) for case in lacking)]


def hide_labels(cases: Sequence[Case], phases: Collection[str], labelled: Collection[str]) -> list[Case]:
    """The cases, with label maps of training cases kept in some phases only; testing cases keep theirs.

    Args:
        cases: of a cohort.
        phases: all phases.
        labelled: phases that keep them.

    Raises:
        SemclError: for an unknown phase, or when no training case keeps its label map.
    """
    for phase in labelled:
        one_of("labelled_phases", phase, list(phases))
    kept = [case if case.fold is None or case.phase in labelled else replace(case, label=None) for case in cases]
    if not any(case.label and case.fold is not None for case in kept):
        raise SemclError(
            "nothing is left to learn from",
            found=f"no training case with a label map in phase {', '.join(labelled)}",
            expected="at least one",
            remedy="set --labelled_phases to phases of labelled training cases",
        )
    return kept
