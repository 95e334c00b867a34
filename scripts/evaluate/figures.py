"""Figures of the report, as SVG drawn from the table of rows, and overlays drawn from the volumes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .rows import Row
from .statistics import paired

COARSE, REFINED = "#9aa5b1", "#0b7285"


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


def organs_figure(rows: Sequence[Row], first: str, second: str, organs: Sequence[str]) -> str:
    """Dice of both methods by organ: a line a patient, a bar the mean (SVG)."""
    figure, axes = plt.subplots(figsize=(max(5.0, 0.85 * len(organs) + 1), 3.6))
    for place, organ in enumerate(organs):
        pairs = paired([row for row in rows if row.organ == organ], first, second)
        if not len(pairs):
            continue
        ends = np.array([place - 0.2, place + 0.2])
        axes.plot(np.tile(ends[:, None], (1, len(pairs))), pairs.T, color="#adb5bd", lw=0.8, zorder=1)
        for end, values, colour in zip(ends, pairs.T, (COARSE, REFINED), strict=True):
            axes.scatter(np.full(len(values), end), values, s=10, color=colour, zorder=2)
            axes.hlines(values.mean(), end - 0.14, end + 0.14, color=colour, lw=3, zorder=3)
    axes.set_xticks(
        range(len(organs)), [organ.replace("_", " ").replace("$", r"\$") for organ in organs], rotation=35, ha="right"
    )
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("Dice")
    handles = [Line2D([], [], color=colour, lw=3, label=name) for name, colour in ((first, COARSE), (second, REFINED))]
    axes.legend(handles=handles, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    return svg(figure)


def curves_figure(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Mean loss by epoch of each stage, a line a run (SVG).

    Args:
        curves: stage -> runs -> loss of each epoch.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 2.4), squeeze=False)
    for axis, (stage, runs) in zip(axes[0], curves.items(), strict=True):
        for losses in runs:
            axis.plot(range(1, len(losses) + 1), losses, color=REFINED, lw=1.2, alpha=0.8)
        axis.set_title(stage, fontsize=10)
        axis.set_xlabel("epoch")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("loss")
    return svg(figure)


def overlay_figure(
    image: NDArray[np.floating], maps: Mapping[str, NDArray[np.integer]], spacing: Sequence[float], objects: int
) -> bytes:
    """The axial slice with most objects, bare and under each label map, the patient's right on the left (PNG).

    Args:
        image: (X, Y, Z) in RAS, in [-1, 1].
        maps: name -> object numbers (X, Y, Z).
        spacing: mm.
        objects: how many objects there are.
    """
    truth = next(iter(maps.values()))
    seen = [len(np.unique(truth[:, :, z])) + (truth[:, :, z] > 0).mean() for z in range(truth.shape[2])]
    z = int(np.argmax(seen))
    colours = plt.get_cmap("tab20")(np.arange(objects) % 20)[:, :3]
    figure, axes = plt.subplots(1, 1 + len(maps), figsize=(3.1 * (1 + len(maps)), 2.7))
    panels: dict[str, Any] = {"image": None, **maps}
    for axis, (name, objects_map) in zip(axes, panels.items(), strict=True):
        # x to the patient's right in RAS; shown as radiologists look, with that at the left
        axis.imshow(image[::-1, ::-1, z].T, cmap="gray", vmin=-1, vmax=1, aspect=spacing[1] / spacing[0])
        if objects_map is not None:
            shown = objects_map[::-1, ::-1, z].T
            layer = np.zeros((*shown.shape, 4))
            layer[shown > 0, :3] = colours[shown[shown > 0] - 1]
            layer[shown > 0, 3] = 0.6
            axis.imshow(layer, aspect=spacing[1] / spacing[0])
        axis.set_title(name, fontsize=10)
        axis.axis("off")
    figure.subplots_adjust(wspace=0.03)
    return png(figure)
