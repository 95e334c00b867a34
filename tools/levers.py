"""The table of levers in docs/results/trials.md, with intervals and verdicts, from docs/results/levers.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import stats

from scripts.evaluate.verdict import verdict

LEVERS = Path(__file__).parent.parent / "docs" / "results" / "levers.yaml"
COLUMNS = ("lever", "how", "Dice of each run", "difference (95 % interval)", "verdict", "then")


def levers() -> str:
    """The table in Markdown: mean differences of levers from what they are compared with.

    A lever's two runs say little about how much its difference varies, so that is taken from all levers for which the
    same part was trained anew: the difference between the differences of the two runs, whose variance is twice that of
    one. It is taken around 0, so that what all of them have in common, the runs that they are compared with, counts as
    chance too.
    """
    content = yaml.safe_load(LEVERS.read_text(encoding="utf-8"))
    parts = [(part, entries) for group in content["levers"] for part, entries in group.items()]
    half = half_widths([entry for _, entries in parts for entry in entries], content["against"])
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for part, entries in parts:
        lines.append((f"**{part}**", *[""] * (len(COLUMNS) - 1)))
        lines += [_row(entry, content["against"], half) for entry in entries]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def half_widths(entries: Sequence[Mapping[str, Any]], against: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Half the width of the 95 % interval of a mean difference of two runs, by what was trained anew."""
    spread: dict[str, list[float]] = {}
    for entry in entries:
        if "runs" in entry:
            first, second = differences(entry, against)
            spread.setdefault(entry["trained"], []).append(first - second)
    return {
        trained: float(stats.t.ppf(0.975, len(found)) * np.sqrt(np.mean(np.square(found)) / 2 / 2))
        for trained, found in spread.items()
    }


def differences(entry: Mapping[str, Any], against: Mapping[str, Sequence[float]]) -> list[float]:
    """The differences of a lever's runs from those that it is compared with."""
    other = against[entry["how"] if entry["how"] in against else "scratch"]
    return [run - before for run, before in zip(entry["runs"], other, strict=True)]


def _row(
    entry: Mapping[str, Any], against: Mapping[str, Sequence[float]], half: Mapping[str, float]
) -> tuple[str, ...]:
    more = entry.get("difference", "")
    if "runs" not in entry:
        return entry["lever"], entry["how"], entry["told"], more, "", entry["then"]
    mean, reach = float(np.mean(differences(entry, against))), half[entry["trained"]]
    low, high = mean - reach, mean + reach
    said = verdict(low, high).partition(" (")[0]
    runs = ", ".join(f"{run:.3f}" for run in entry["runs"])
    return entry["lever"], entry["how"], runs, f"{mean:+.3f} ({low:+.3f} to {high:+.3f}){more}", said, entry["then"]
