"""Label budgets: how many patients' label maps a pipeline may learn from, and which ones a seed draws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..cohort.case import Case, folds
from ..errors import SemclError


@dataclass(frozen=True)
class Amount:
    """A number of labelled patients, or a share of them.

    Args:
        patients: the number; None for a share.
        share: above 0, at most 1; None for a number.
    """

    patients: int | None = None
    share: float | None = None

    @classmethod
    def of(cls, text: str | float) -> Amount:
        """The amount that a text such as "2" or "10%" stands for.

        Raises:
            SemclError: for anything else.
        """
        given = str(text).strip()
        found = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", given)
        if found and found[1] and int(found[1]) > 0:
            return cls(patients=int(found[1]))
        if found and found[2] and 0 < float(found[2]) <= 100:
            return cls(share=float(found[2]) / 100)
        raise SemclError(
            "not an amount of labels",
            found=given,
            expected="a number of patients, or a percentage above 0% and up to 100%",
            remedy="set --labels, for example 2,10%,100%",
        )

    @property
    def name(self) -> str:
        """The amount in words."""
        if self.patients is not None:
            return f"{self.patients} patient{'s' if self.patients > 1 else ''}"
        return f"{100 * (self.share or 0):g}%"

    def count(self, patients: int) -> int:
        """How many of so many labelled patients."""
        return self.patients if self.patients is not None else max(1, round(patients * (self.share or 0)))


def parse_labels(texts: Sequence[str | float]) -> tuple[Amount, ...]:
    """The amounts of labels of a study.

    Raises:
        SemclError: for none, one given twice, or something else.
    """
    found = tuple(Amount.of(text) for text in texts)
    if not found or len(set(found)) < len(found):
        raise SemclError(
            "amounts of labels must be given, each only once",
            found=", ".join(map(str, texts)) or "none",
            expected="at least one, without repeats",
            remedy="set --labels, for example 2,10%,100%",
        )
    return found


def with_labels_of(cases: Sequence[Case], amount: Amount, seed: int, organs: Sequence[str], least: int) -> list[Case]:
    """The cases with label maps of some training patients only, in folds of their own; testing cases keep theirs.

    The seed draws the patients; a larger amount includes a smaller one. Phases that have label maps keep at least one
    labelled patient as far as the amount allows. The labelled patients are spread over as many folds as the cohort
    has, or one each where they are fewer: each can be held out by itself.

    Args:
        cases: of a split.
        amount: of labels.
        seed: of the draw.
        organs: names of all organs.
        least: the fewest patients the study's strategies can learn from: 2 with cross-fitting.

    Raises:
        SemclError: for more patients than there are, fewer than ``least``, or an organ none of them is annotated for.
    """
    labelled = [case for case in cases if case.label is not None and case.fold is not None]
    order = _drawn(labelled, seed)
    count = amount.count(len(order))
    if not least <= count <= len(order):
        raise SemclError(
            f"{amount.name} of labels cannot be drawn",
            found=f"{count} of {len(order)} labelled training patients",
            expected=f"{least} or more"
            + (": with cross-fitting each map comes from a network that has not seen its patient" if least > 1 else ""),
            remedy="set --labels, or label more patients",
        )
    rounds = min(max(2, len(folds(cases))), count)
    fold = {patient: number % rounds for number, patient in enumerate(order[:count])}
    known = [case for case in labelled if case.patient in fold]
    for organ in organs:
        if not any(case.annotates(organ) for case in known):
            raise SemclError(
                f"{amount.name} of labels leave {organ} without any",
                found=f"seed {seed} draws {', '.join(sorted(fold))}, none annotated for {organ}",
                expected="at least one patient annotated for each organ",
                remedy="raise --labels, or leave the organ out of the label table",
            )
    return [
        case
        if case.fold is None
        else replace(case, fold=fold.get(case.patient, 0), label=case.label if case.patient in fold else None)
        for case in cases
    ]


def _drawn(labelled: Sequence[Case], seed: int) -> list[str]:
    """All labelled patients in the order they are drawn: at random, but those who add a phase first."""
    phases = {case.patient: set[str]() for case in labelled}
    for case in labelled:
        phases[case.patient].add(case.phase)
    waiting: list[str] = np.random.default_rng(seed).permutation(sorted(phases)).tolist()
    first, seen = [], set[str]()
    for patient in waiting:
        if phases[patient] - seen:
            first.append(patient)
            seen |= phases[patient]
    return first + [patient for patient in waiting if patient not in first]
