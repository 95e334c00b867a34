"""The study's figures: Dice of every strategy and run, the named contrasts, and Dice over the training budget."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from ..evaluate.figures import COLOURS, svg
from ..evaluate.step_down import Values
from .comparisons import Difference
from .strategy import FLOOR
from .tables import Table


def strategies_figure(tables: Sequence[Table]) -> str:
    """Mean Dice over patients by strategy and table (SVG): a dot per run, the mean with its 95 % interval."""
    methods = tables[0].measured.arms
    figure, axes = plt.subplots(figsize=(max(5.0, 0.9 * len(methods) + 1.5), 3.8))
    for number, table in enumerate(tables):
        offset = (number - (len(tables) - 1) / 2) * 0.8 / len(tables)
        colour = COLOURS[(number + 1) % len(COLOURS)]
        for place, values in enumerate(table.measured.values):
            runs = values.mean(1)
            axes.scatter(np.full(len(runs), place + offset), runs, s=14, color=colour, zorder=2)
            patients = values.mean(0)
            half = _half_width(patients)
            axes.errorbar(place + offset, patients.mean(), half, color=colour, fmt="_", ms=12, mew=2, lw=1, capsize=3)
        axes.scatter([], [], s=14, color=colour, label=table.title)
    axes.set_xticks(range(len(methods)), list(map(_text, methods)), rotation=30, ha="right")
    axes.set_ylabel("mean Dice")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="lower center", ncols=2, frameon=False, fontsize=8, bbox_to_anchor=(0.5, 0.98))
    return svg(figure)


def contrasts_figure(differences: Sequence[Difference], equivalence: float) -> str:
    """The named contrasts of all tables with their 95 % intervals (SVG); the region of equivalence is shaded."""
    figure, axes = plt.subplots(figsize=(7.5, 0.42 * len(differences) + 1.1))
    axes.axvspan(-equivalence, equivalence, color="#e9ecef", zorder=0)
    axes.axvline(0, color="#868e96", lw=0.8, zorder=1)
    for place, one in enumerate(differences):
        colour = COLOURS[1] if one.significant else COLOURS[0]
        if one.tested:
            axes.hlines(place, one.tested.low, one.tested.high, color=colour, lw=2, zorder=2)
        axes.scatter([one.difference], [place], s=26, color=colour, zorder=3)
    names = [f"{_short(one)}\n{one.table}" for one in differences]
    axes.set_yticks(range(len(differences)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("difference in Dice")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return svg(figure)


def budgets_figure(tables: Sequence[Table]) -> str:
    """Mean Dice over the training budget, one panel per amount of labels, one line per strategy (SVG)."""
    amounts = list(dict.fromkeys(table.cell.labels for table in tables))
    figure, panels = plt.subplots(1, len(amounts), figsize=(4.2 * len(amounts) + 1, 3.4), sharey=True, squeeze=False)
    for axes, labels in zip(panels[0], amounts, strict=True):
        mine = sorted((table for table in tables if table.cell.labels == labels), key=lambda one: one.cell.budget or 0)
        for number, method in enumerate(mine[0].measured.arms):
            means = [table.measured.values[number].mean() for table in mine]
            style = {"ls": "--"} if method == FLOOR else {"marker": "o", "ms": 3}
            colour = COLOURS[number % len(COLOURS)]
            axes.plot([table.cell.budget for table in mine], means, color=colour, lw=1.2, label=_text(method), **style)
        axes.set_xscale("log", base=2)
        axes.set_xticks([table.cell.budget for table in mine], [f"{table.cell.budget:g}" for table in mine])
        axes.set_title(f"label maps of {labels.name}", fontsize=9)
        axes.set_xlabel("training seconds of a device")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("mean Dice")
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="center left", frameon=False, fontsize=8, bbox_to_anchor=(0.92, 0.5))
    return svg(figure)


def _half_width(values: Values) -> float:
    """Half the 95 % interval of a mean over patients, by t."""
    count = len(values)
    return float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0


def _short(one: Difference) -> str:
    """A contrast, the best of several by its name."""
    against = one.tested.against if one.tested and len(one.contrast.second) > 1 else ", ".join(one.contrast.second)
    return _text(f"{one.contrast.first} - {'best: ' if len(one.contrast.second) > 1 else ''}{against}")


def _text(name: str) -> str:
    """A name that is drawn as it is: dollars are no formula."""
    return name.replace("$", r"\$")
