"""The study's figure: the mean Dice of every strategy and training run."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from ..evaluate.figures import COLOURS, svg
from ..evaluate.statistics import ALL
from .strategy import FLOOR
from .tables import Table


def strategies_figure(tables: list[Table]) -> str:
    """Mean Dice over patients by strategy and table (SVG): one dot per seed, a bar for their mean.

    A dashed line marks the coarse map.
    """
    methods = tables[0].results.methods[1:]
    figure, axes = plt.subplots(figsize=(max(5.0, 1.1 * len(methods) + 1.5), 3.6))
    for number, table in enumerate(tables):
        offset = (number - (len(tables) - 1) / 2) * 0.8 / len(tables)
        colour = COLOURS[(number + 1) % len(COLOURS)]
        for place, method in enumerate(methods):
            runs = table.values[ALL][method].mean(1)
            axes.scatter(np.full(len(runs), place + offset), runs, s=16, color=colour, zorder=2)
            axes.hlines(runs.mean(), place + offset - 0.12, place + offset + 0.12, color=colour, lw=2)
        axes.scatter([], [], s=16, color=colour, label=table.title)
    axes.axhline(float(tables[0].values[ALL][FLOOR].mean()), color=COLOURS[0], ls="--", lw=1, label="coarse map")
    axes.set_xticks(range(len(methods)), methods, rotation=20, ha="right")
    axes.set_ylabel("mean Dice")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="upper center", ncols=3, frameon=False, fontsize=8, bbox_to_anchor=(0.5, 1.06))
    return svg(figure)
