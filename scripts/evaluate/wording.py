"""An evaluation's numbers in words: the headline, sentences for a clinician, and p-values as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..printable import counted
from .statistics import LEVEL, MANY, Comparison
from .step_down import EXACT

UNDECIDED = "undecided"
VERDICTS = ("better", "worse", "equivalent", "no difference", UNDECIDED)


def p_text(p: float | None, missing: str = "") -> str:
    """A p-value as text; ``missing`` where there is none."""
    if p is None:
        return missing
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def headline(line: Comparison, first: str, second: str) -> str:
    """One sentence about a comparison of Dice."""
    verdict = line.verdict
    for way in ("better", "worse"):
        verdict = verdict.replace(way, f"{way} than {first}", 1)
    if line.low is not None and "between" not in verdict and line.difference:
        verdict += f", 95 % interval {line.low:+.3f} to {line.high:+.3f}"
    return (
        f"Mean Dice {line.first:.3f} {first}, {line.second:.3f} {second} ({line.difference:+.3f}) "
        f"over {counted(line.cases, 'case')} of {counted(line.patients, 'patient')}: {verdict}."
    )


def beside_headline(methods: Sequence[str], f1: Sequence[float | None], hd95: Sequence[float | None]) -> str:
    """F1 of detection and median HD95 (mm) of each method; empty where neither is known."""
    found = [f"{value:.3f} {method}" for method, value in zip(methods, f1, strict=True) if value is not None]
    medians = [f"{value:.1f} mm {method}" for method, value in zip(methods, hd95, strict=True) if value is not None]
    parts = [f"Detection F1 {', '.join(found)}"] if found else []
    parts += [f"median HD95 {', '.join(medians)}"] if medians else []
    text = "; ".join(parts)
    return text and f"{text[0].upper()}{text[1:]}."


def surface_sentence(method: str, nsd: NDArray[np.float64], hd95: Sequence[float]) -> str:
    """How well a method's surfaces fit: NSD by patient, and HD95 (mm) of the organs it found."""
    sentence = f"{method}: {100 * nsd.mean():.1f} % of the organs' surfaces lie within tolerance of the ground truth."
    if hd95:
        sentence += f" Where an organ was found, 95 % of its surface is within {np.median(hd95):.1f} mm (median)."
    return sentence


def detection_sentences(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """False negatives and, where organs are absent, false positives; ``lines`` are ``Summary.detection``'s."""
    present, missed, absent, found, volume = (
        sum(line[key] for line in lines)
        for key in ("present", "missed", "absent", "drawn_though_absent", "false_positive_ml")
    )
    names = ", ".join(f"{_plain(line['organ'])} {line['missed']}x" for line in lines if line["missed"])
    were = {True: "was", False: "were"}
    listed = f" ({names})" if names else ""
    sentences = [f"False negatives: {missed} of {counted(present, 'organ')} {were[missed == 1]} missed{listed}."]
    if absent:
        sentences.append(
            f"False positives: {found} of {counted(absent, 'absent organ')} {were[found == 1]} segmented, "
            f"{volume:.1f} mL in total."
        )
    return sentences


def comparison_sentences(lines: Sequence[Comparison], first: str, second: str) -> list[str]:
    """In which organs ``second`` is better, and which of that stands over patients; ``ALL`` comes first."""
    overall, *organs = lines
    better = [line for line in organs if line.better]
    worse = [line for line in organs if line.difference and not line.better]
    ways = f"By Dice, {second} is better than {first} in {len(better)} of {counted(len(organs), 'organ')}"
    ways += f", worse in {_listed(worse)}." if worse else " and worse in none."
    by_word: dict[str, list[Comparison]] = {}
    for line in organs:
        by_word.setdefault(re.split("[,(]| after", line.verdict)[0].strip(), []).append(line)
    found = "; ".join(
        f"{word}: {(_with_ranges if word == UNDECIDED else _listed)(by_word[word])}"
        for word in VERDICTS
        if word in by_word
    )
    stands = f"Over patients like these {overall.patients}, corrected for {counted(len(organs), 'organ')}: {found}."
    least = 2.0 ** (1 - overall.patients)
    if least >= LEVEL:
        stands += (
            f" With so few patients no corrected p can be below {min(least, 1):.2g}, so no organ can be called better "
            "or worse."
        )
    return [ways, stands]


def tests_in_words() -> str:
    """How p-values were computed."""
    return (
        f"two-sided Wilcoxon signed-rank test over patients (exact, also with ties, for up to {MANY} that differ), and "
        f"beside it the sign-flipping permutation test of the mean difference (all signs for up to {EXACT} patients); "
        "corrected for the number of organs by flipping the signs of a patient's organs together (step-down max-T)"
    )


def _plain(organ: str) -> str:
    return organ.replace("_", " ")


def _listed(lines: Iterable[Comparison]) -> str:
    return ", ".join(_plain(line.organ) for line in lines)


def _with_ranges(lines: Iterable[Comparison]) -> str:
    return ", ".join(
        _plain(line.organ) + ("" if line.low is None else f" ({line.low:+.3f} to {line.high:+.3f})") for line in lines
    )
