"""From the objects of a cohort to findings: suspicions of label maps, expected Dice of other maps, phases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..printable import counted
from .comparison import FEWEST_OTHERS, Compared, compare_with
from .examples import Examples
from .findings import WHOLE_SCAN, AuditFinding, by_suspicion
from .kinds import LOW_DICE, ORGAN_MISSING, WRONG_PHASE
from .label_next import LabelNext, label_next
from .phases import PhaseVerdicts, judge_phases
from .reasons import reason
from .scan import LABEL, MAP
from .suspicion import ExpectedDice, Verdicts, expect_dice, suspect

USUAL = 0.8  # share of the label maps that have an organ, from which its absence is a finding
NO_VERDICT = f"fewer than {FEWEST_OTHERS} examples in other patients"


@dataclass(frozen=True)
class Judgement:
    """What an audit has found.

    Args:
        findings: worst first.
        maps: cases of the other maps that were judged, those without any object too.
        judged: the objects of label maps and maps that were judged.
        compared: their features.
        reference: the objects they were compared with.
        verdicts: of label maps; None where there are none.
        expected: of the judged objects of other maps, in their order; None where there are none.
        phases: of the scans; None with fewer than two phases to tell apart.
        label_next: the patients of unlabelled scans, ranked; None where every scan has a label map.
    """

    findings: list[AuditFinding]
    maps: tuple[str, ...]
    judged: Examples
    compared: Compared
    reference: Examples
    verdicts: Verdicts | None
    expected: ExpectedDice | None
    phases: PhaseVerdicts | None
    label_next: LabelNext | None = None

    def quality(self) -> dict[str, dict[str, object]]:
        """Case -> expected Dice of its map: mean, and by organ with interval."""
        if self.expected is None:
            return {}
        objects = self.judged[self.judged.sources == MAP]
        made: dict[str, dict[str, object]] = {}
        for case in self.maps:
            rows = [row for row in np.flatnonzero(objects.cases == case) if math.isfinite(self.expected.dice[row])]
            organs = {
                str(objects.organs[row]): {
                    "dice": round(float(self.expected.dice[row]), 4),
                    "low": round(float(self.expected.low[row]), 4),
                    "high": round(float(self.expected.high[row]), 4),
                }
                for row in rows
            }
            mean = float(np.mean(self.expected.dice[rows])) if rows else None
            made[case] = {"dice": None if mean is None else round(mean, 4), "organs": organs}
        return made


def judge(
    found: Examples, cases: Collection[Case], maps: Collection[str], table: LabelTable, usable: float, seed: int
) -> Judgement:
    """Judge the objects of a cohort's maps against those of other patients' label maps.

    Args:
        found: what was gathered of all cases.
        cases: the cohort.
        maps: the cases that other maps are judged of.
        table: the label table.
        usable: the least Dice of a usable segmentation.
        seed: of folds and trees.
    """
    reference = found[found.clean]
    compared = compare_with(found, reference)
    in_maps = (found.sources == MAP) & (found.kinds == "")
    without = {case.id for case in cases if case.label is None}
    labels = found.clean if set(maps) <= without else np.zeros(len(found), bool)
    known = (found.sources != MAP) | (np.isfinite(found.dice) & ~in_maps)
    findings: list[AuditFinding] = []
    verdicts = expected = None
    if labels.any():
        own = found.sources == LABEL
        verdicts = suspect(found[labels], compared[labels], found[own], compared[own], seed=seed)
        findings += _of_labels(found[labels], compared[labels], verdicts)
    if maps:
        known |= in_maps & np.isfinite(found.dice)
        learnt = found[known], compared[known]
        expected = expect_dice(found[in_maps], compared[in_maps], *learnt, usable, seed=seed)
        findings += _of_maps(found[in_maps], compared[in_maps], expected, usable)
        findings += _missing(found[in_maps], maps, reference, cases, table)
    phases = judge_phases(found[found.clean | in_maps], seed=seed)
    if phases is not None:
        findings += _of_phases(phases)
    judged = np.flatnonzero(labels | in_maps)
    parts = (found[judged], compared[judged], reference, verdicts, expected, phases)
    dice = {} if expected is None else _by_case(found[in_maps].cases.tolist(), expected.dice.tolist())
    return Judgement(by_suspicion(findings), tuple(maps), *parts, label_next(found, cases, dice))


def _by_case(cases: list[str], dice: list[float]) -> dict[str, float]:
    """Case -> mean of the expected Dice of its objects that have one."""
    known: dict[str, list[float]] = {}
    for case, value in zip(cases, dice, strict=True):
        if math.isfinite(value):
            known.setdefault(case, []).append(value)
    return {case: float(np.mean(values)) for case, values in known.items()}


def _of_labels(objects: Examples, compared: Compared, verdicts: Verdicts) -> Iterator[AuditFinding]:
    for row, (suspicion, kind) in enumerate(zip(verdicts.suspicion.tolist(), verdicts.kinds.tolist(), strict=True)):
        known = math.isfinite(suspicion)
        why = reason(objects, compared, row, verdicts.rests_on) if known else NO_VERDICT
        yield AuditFinding(objects.cases[row], objects.organs[row], kind if known else "", suspicion, why)


def _of_maps(objects: Examples, compared: Compared, expected: ExpectedDice, usable: float) -> Iterator[AuditFinding]:
    for row, dice in enumerate(expected.dice.tolist()):
        known = math.isfinite(dice)
        interval = f"{expected.low[row]:.2f} to {expected.high[row]:.2f}"
        why = f"expected Dice {dice:.2f} ({interval}; usable from {usable:g}): " if known else NO_VERDICT
        if known:
            why += reason(objects, compared, row, ("plain", "embedding"))
        name = LOW_DICE if known else ""
        yield AuditFinding(objects.cases[row], objects.organs[row], name, float(expected.fails[row]), why)


def _missing(
    objects: Examples, maps: Collection[str], reference: Examples, cases: Collection[Case], table: LabelTable
) -> Iterator[AuditFinding]:
    """Organs that a map has not, and most label maps in which they are annotated have."""
    labelled = set(reference.cases.tolist())
    seen = Counter(reference.organs.tolist())
    totals = {organ: sum(case.annotates(organ) for case in cases if case.id in labelled) for organ in table.names}
    for case in maps:
        present = set(objects.organs[objects.cases == case].tolist())
        for organ, total in totals.items():
            if organ not in present and total >= FEWEST_OTHERS and seen[organ] / total >= USUAL:
                why = f"{seen[organ]} of {total} label maps have it"
                yield AuditFinding(case, organ, ORGAN_MISSING, seen[organ] / (total + 1), why)


def _of_phases(phases: PhaseVerdicts) -> Iterator[AuditFinding]:
    for case, listed, row in zip(phases.cases, phases.listed.tolist(), phases.probabilities, strict=True):
        if not np.isfinite(row).all() or listed not in phases.phases:  # a phase of too few patients
            continue
        likely = phases.phases[int(row.argmax())]
        stated = float(row[phases.phases.index(listed)])
        why = f"listed as {listed}; {likely} with probability {row.max():.2f}, by {phases.rests_on} features"
        yield AuditFinding(case, WHOLE_SCAN, WRONG_PHASE, 1 - stated, why)


def in_one_sentence(judgement: Judgement, threshold: float) -> str:
    """The result in one sentence."""
    suspicious = [one for one in judgement.findings if one.suspicion > threshold]
    counts: Mapping[str, int] = Counter(one.name for one in suspicious)
    named = ", ".join(f"{count} {name}" for name, count in counts.items())
    judged, scans = len(judgement.judged), len({*judgement.judged.cases.tolist(), *judgement.maps})
    among = f"{counted(judged, 'object')} and {counted(scans, 'scan')}"
    undecided = sum(one.found == NO_VERDICT for one in judgement.findings)
    more = f" {counted(undecided, 'object')} without a verdict: {NO_VERDICT}." if undecided else ""
    return f"{len(suspicious)} of {among} are suspicious{f': {named}' if named else ''}.{more}"
