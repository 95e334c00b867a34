"""Maps of embeddings: t-SNE and PCA of several encoders side by side, coloured by organ and by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ..evaluate.figures import figure_text, svg
from ..evaluate.slices import HUES, object_colours
from .table import Embeddings

Points = NDArray[np.float64]
MARKERS = ("o", "^", "s")  # one per seven organs, as their colours get lighter and darker


def coordinates(embeddings: Embeddings, perplexity: float, seed: int) -> dict[str, Points]:
    """Points (Q, 2) by kind of map; the same seed gives the same points.

    Args:
        embeddings: the queries.
        perplexity: of t-SNE; reduced to less than a third of the number of queries where there are few.
        seed: of both maps.
    """
    vectors = embeddings.vectors.cpu().numpy().astype(np.float64)
    usable = max(1.0, min(perplexity, (len(embeddings) - 1) / 3))
    tsne = TSNE(perplexity=usable, metric="cosine", init="random", learning_rate="auto", random_state=seed)
    with (
        threadpool_limits(1, user_api="openmp"),
        np.errstate(invalid="ignore"),
    ):  # more threads, shared with torch, busy-wait
        return {"t-SNE": tsne.fit_transform(vectors), "PCA": PCA(2, random_state=seed).fit_transform(vectors)}


def map_figure(
    maps: Mapping[str, Mapping[str, Points]], embeddings: Embeddings, label: str, names: Sequence[str]
) -> str:
    """One row per kind of map, one column per encoder, one colour per organ or phase (SVG).

    Args:
        maps: encoder -> kind -> points, as ``coordinates`` returns them.
        embeddings: the queries, the same for every encoder.
        label: "organ" or "phase".
        names: all organs or phases in the label table's order, so that an organ has the colour it has in pictures.
    """
    kinds = list(next(iter(maps.values())))
    figure, axes = plt.subplots(len(kinds), len(maps), figsize=(3.6 * len(maps), 3.3 * len(kinds)), squeeze=False)
    for column, (encoder, points) in enumerate(maps.items()):
        for row, kind in enumerate(kinds):
            _scatter(axes[row][column], points[kind], embeddings.label(label), names)
            axes[row][column].set_title(f"{kind}, {figure_text(encoder)}", fontsize=10)
    handles, titles = axes[0][0].get_legend_handles_labels()
    columns = 3 if len(titles) > 2 else len(titles)
    figure.legend(
        handles, titles, frameon=False, fontsize=8, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, 0.02)
    )
    figure.tight_layout()
    return svg(figure)


def _scatter(axes: Axes, points: Points, labels: NDArray[np.str_], names: Sequence[str]) -> None:
    colours = object_colours(len(names))
    for number, name in enumerate(names):
        own = labels == name
        if not own.any():
            continue
        across, up = points[own].T
        marker = MARKERS[number // len(HUES) % len(MARKERS)]
        style: dict[str, Any] = {"s": 18, "marker": marker, "linewidths": 0.3, "edgecolors": "#495057"}
        axes.scatter(across, up, color=colours[number], alpha=0.85, label=figure_text(name), **style)
    axes.set_xticks([])
    axes.set_yticks([])
