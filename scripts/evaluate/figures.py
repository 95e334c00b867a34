"""Figures of the report: SVG plots of the table of rows, and PNG overlays of label maps on scans."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .metrics import Metric
from .step_down import Values

COLOURS = ("#868e96", "#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#1864ab", "#846358")  # of methods


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


def curves_figure(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Mean loss by epoch, one panel per stage and one line per run (SVG).

    Args:
        curves: stage -> runs -> loss of each epoch.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 2.4), squeeze=False)
    for axis, (stage, runs) in zip(axes[0], curves.items(), strict=True):
        for losses in runs:
            axis.plot(range(1, len(losses) + 1), losses, color=COLOURS[1], lw=1.2, alpha=0.8)
        axis.set_title(stage, fontsize=10)
        axis.set_xlabel("epoch")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("loss")
    return svg(figure)


def overlay_figure(
    image: NDArray[np.floating],
    maps: Mapping[str, NDArray[np.integer]],
    spacing: Sequence[float],
    objects: int,
    main: str | None = None,
) -> bytes:
    """An axial slice, bare and with each label map over it, the patient's right on the left (PNG).

    The slice is the one on which the main map differs most from the ground truth.

    Args:
        image: (X, Y, Z, C) in RAS, in [-1, 1].
        maps: name -> object numbers (X, Y, Z), the ground truth first.
        spacing: mm.
        objects: how many objects there are.
        main: the map whose errors choose the slice, None for the last.
    """
    (_, truth), *predictions = maps.items()
    main_map = maps[main or list(maps)[-1]]
    wrong = (truth != main_map).sum((0, 1)) + 1e-6 * (truth > 0).sum((0, 1))
    z = int(np.argmax(wrong))
    colours = object_colours(objects)
    figure, axes = plt.subplots(1, 1 + len(maps), figsize=(3.1 * (1 + len(maps)), 2.7))
    panels: list[tuple[str, NDArray[np.integer] | None]] = [(f"image, slice {z + 1} of {image.shape[2]}", None)]
    for axis, (name, objects_map) in zip(axes, [*panels, ("ground truth", truth), *predictions], strict=True):
        show_slice(axis, image[:, :, z], spacing[1] / spacing[0])
        if objects_map is not None:
            pixels = objects_map[::-1, ::-1, z].T  # as radiologists view it, like ``show_slice``
            layer = np.zeros((*pixels.shape, 4))
            layer[pixels > 0, :3] = colours[pixels[pixels > 0] - 1]
            layer[pixels > 0, 3] = 0.6
            axis.imshow(layer, aspect=spacing[1] / spacing[0])
        axis.set_title(figure_text(name), fontsize=10)
        axis.axis("off")
    figure.subplots_adjust(wspace=0.03)
    return png(figure)


def show_slice(axis: Axes, image: NDArray[np.floating], aspect: float = 1.0) -> None:
    """Show a slice (X, Y, C) in RAS and [-1, 1] as radiologists view it; one channel in grey, three in colour."""
    pixels = image[::-1, ::-1].swapaxes(0, 1)
    if image.shape[2] == 3:
        axis.imshow((pixels + 1) / 2, aspect=aspect)
    else:
        axis.imshow(pixels[..., 0], cmap="gray", vmin=-1, vmax=1, aspect=aspect)


def object_colours(objects: int) -> NDArray[np.float64]:
    """One colour (K, 3) per object, the same in every picture."""
    colours: NDArray[np.float64] = plt.get_cmap("tab20")(np.arange(objects) % 20)[:, :3]
    return colours


def object_hex(objects: int) -> list[str]:
    """The same colours in hexadecimal, for the page."""
    return [to_hex(colour) for colour in object_colours(objects)]


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
