"""Plots of the report as SVG: the forest plot of differences, pairs and boxes by group, curves."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .expected import ExpectedBesideMeasured
from .metrics import Metric
from .statistics import ALL, Comparison
from .step_down import Values

COLOURS = ("#868e96", "#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#1864ab", "#846358")  # of methods
BETTER, WORSE, UNDECIDED_COLOUR = "#0072b2", "#d55e00", "#868e96"  # told apart with any colour vision
RELIABILITY_TITLES = {"raw": "network", "calibrated": "calibrated"}


def svg(figure: Figure) -> str:
    """The figure as inline SVG."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "semcl", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return data.getvalue()


def forest_figure(lines: Sequence[Comparison], methods: tuple[str, str], equivalence: float) -> str:
    """The difference of Dice by organ with its 95 % interval over patients, and both means beside it (SVG).

    The region in which a difference means nothing in practice is shaded. Filled marks are decided, hollow ones are not;
    blue is better, orange worse.

    Args:
        lines: all organs together, then each organ.
        methods: the names of both methods; differences are the second's minus the first's.
        equivalence: half the width of the shaded region; 0 for none.
    """
    figure, axes = plt.subplots(figsize=(6.4, 0.34 * len(lines) + 1.1))
    axes.axvspan(-equivalence, equivalence, color="#e9ecef", lw=0, zorder=0)
    axes.axvline(0, color="#868e96", lw=0.8, zorder=1)
    for place, line in enumerate(lines):
        verdict = line.verdict
        colour = BETTER if verdict.startswith("better") else WORSE if verdict.startswith("worse") else UNDECIDED_COLOUR
        if line.low is not None and line.high is not None:
            axes.hlines(place, line.low, line.high, color=colour, lw=2, zorder=2)
        marker: dict[str, Any] = {"marker": "D" if line.organ == ALL else "o", "s": 40 if line.organ == ALL else 26}
        fill = "white" if colour == UNDECIDED_COLOUR else colour
        axes.scatter([line.difference], [place], color=fill, edgecolors=colour, lw=1.4, zorder=3, **marker)
        means = f"{line.first:.2f} \N{RIGHTWARDS ARROW} {line.second:.2f}"
        weight = "bold" if line.organ == ALL else "normal"
        axes.text(1.02, place, means, transform=axes.get_yaxis_transform(), va="center", fontsize=9, weight=weight)
    axes.set_yticks(range(len(lines)), [figure_text(line.organ) for line in lines])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlabel(f"difference in Dice, {figure_text(methods[1])} minus {figure_text(methods[0])}")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return svg(figure)


def paired_figure(groups: Mapping[str, Values], methods: tuple[str, str], metric: Metric) -> str:
    """Two methods by group: one line per patient, a bar for each mean (SVG).

    Args:
        groups: title (an organ or a phase) -> values (patients, 2).
        methods: the names of both methods.
        metric: the metric of the values.
    """
    figure, axes = _grouped(list(groups), metric)
    for place, pairs in enumerate(groups.values()):
        if not len(pairs):
            continue
        ends = np.array([place - 0.2, place + 0.2])
        axes.plot(np.tile(ends[:, None], (1, len(pairs))), pairs.T, color="#adb5bd", lw=0.8, zorder=1)
        for end, values, colour in zip(ends, pairs.T, COLOURS, strict=False):
            axes.scatter(np.full(len(values), end), values, s=10, color=colour, zorder=2)
            axes.hlines(values.mean(), end - 0.14, end + 0.14, color=colour, lw=3, zorder=3)
    _legend(axes, methods)
    return svg(figure)


def box_figure(groups: Mapping[str, Mapping[str, Values]], metric: Metric) -> str:
    """Box plots by group and method: median, quartiles, whiskers to 1.5 interquartile ranges, points beyond (SVG).

    Args:
        groups: title -> method -> values (patients,).
        metric: the metric of the values.
    """
    figure, axes = _grouped(list(groups), metric)
    methods = list(next(iter(groups.values()), {}))
    width = 0.8 / max(len(methods), 1)
    for number, (method, colour) in enumerate(zip(methods, _colours(len(methods)), strict=True)):
        filled = {place: group[method] for place, group in enumerate(groups.values()) if len(group[method])}
        if filled:
            axes.boxplot(
                list(filled.values()),
                positions=[place - 0.4 + (number + 0.5) * width for place in filled],
                widths=0.85 * width,
                patch_artist=True,
                boxprops={"facecolor": colour, "edgecolor": colour, "alpha": 0.55},
                medianprops={"color": "#212529", "lw": 1.4},
                whiskerprops={"color": colour},
                capprops={"color": colour},
                flierprops={"marker": "o", "markersize": 3, "markerfacecolor": colour, "markeredgecolor": "none"},
                manage_ticks=False,
            )
    _legend(axes, methods)
    return svg(figure)


def curves_figure(
    curves: Mapping[str, Sequence[Sequence[float]]],
    checks: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]] | None = None,
) -> str:
    """Mean loss by epoch, one panel per stage and one line per run, and what validation measured (SVG).

    Args:
        curves: stage -> runs -> loss of each epoch.
        checks: stage -> name of a figure from 0 to 1 -> (epoch, value), drawn dashed against an axis of its own.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(3.4 * len(curves), 2.6), squeeze=False, layout="constrained")
    for axis, (stage, runs) in zip(axes[0], curves.items(), strict=True):
        for losses in runs:
            axis.plot(range(1, len(losses) + 1), losses, color=COLOURS[1], lw=1.2, alpha=0.8)
        axis.set_title(stage, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
        measured = (checks or {}).get(stage, {})
        if measured:
            _validation(axis, measured)
    axes[0][0].set_ylabel("loss", color=COLOURS[1])
    return svg(figure)


def _validation(axis: Axes, measured: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Draw what validation measured against an axis on the right."""
    right = axis.twinx()
    for (name, values), colour in zip(measured.items(), COLOURS[2:], strict=False):
        epochs, heights = zip(*values, strict=True)
        right.plot(epochs, heights, color=colour, ls="--", marker="o", ms=2.5, lw=1.2, label=figure_text(name))
    right.set_ylim(0, 1)
    right.spines[["top"]].set_visible(False)
    right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def reliability_figure(judged: Mapping[str, Mapping[str, Any]]) -> str:
    """Observed frequency over predicted probability, of the network's own probabilities and of calibrated ones.

    Args:
        judged: "raw" and "calibrated", as ``calibration_quality`` has them.
    """
    figure, axes = plt.subplots(figsize=(3.6, 3.6))
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, zorder=0)
    for colour, (kind, title) in zip(_colours(2), RELIABILITY_TITLES.items(), strict=True):
        predicted, observed, _ = zip(*judged[kind]["reliability"], strict=True)
        axes.plot(predicted, observed, "o-", color=colour, ms=4, label=f"{title}: ECE {judged[kind]['ece']:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed frequency")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    return svg(figure)


def expected_figure(found: ExpectedBesideMeasured) -> str:
    """Measured over expected Dice, a dot per organ and scan."""
    figure, axes = plt.subplots(figsize=(3.6, 3.6))
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, zorder=0)
    axes.plot(found.expected, found.measured, "o", color=_colours(2)[1], ms=4, alpha=0.5, mew=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="Dice expected at inference", ylabel="measured Dice")
    axes.spines[["top", "right"]].set_visible(False)
    return svg(figure)


def figure_text(name: str) -> str:
    """A name as text in a figure: underscores as blanks, dollar signs escaped, which would start a formula."""
    return name.replace("_", " ").replace("$", r"\$")


def _grouped(titles: Sequence[str], metric: Metric) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(max(3.2, 0.85 * len(titles) + 1), 3.6))
    axes.set_xticks(range(len(titles)), [figure_text(title) for title in titles], rotation=35, ha="right")
    axes.set_xlim(-0.6, max(len(titles), 1) - 0.4)
    if metric.worst == 0:
        axes.set_ylim(-0.02, 1.02)
    else:  # from fractions of a millimetre to the diagonal of the scan, which a missed organ gets
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel(metric.label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colours(count: int) -> list[str]:
    return list((COLOURS * math.ceil(count / len(COLOURS) or 1))[:count])


def _legend(axes: Axes, methods: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=colour, lw=3, label=figure_text(name))
        for name, colour in zip(methods, _colours(len(methods)), strict=True)
    ]
    axes.legend(handles=handles, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
