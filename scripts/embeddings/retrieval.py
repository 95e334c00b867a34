"""Retrieval: the queries of other patients most similar to a given one, as a table and as a sheet of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..errors import SemclError
from ..evaluate.figures import figure_text, png
from ..evaluate.slices import show_slice
from ..files import write_csv
from ..queries.store import QueryStore
from .neighbours import Neighbours
from .table import Embeddings

RIGHT, WRONG = "#2b8a3e", "#c92a2a"


def pictured_queries(
    organs: NDArray[np.str_], cases: NDArray[np.str_], organ: str | None, case: str | None
) -> list[int]:
    """One query per organ: the middle one of the case, or of the first case that has the organ.

    Args:
        organs: (N,) of the queries.
        cases: (N,) likewise.
        organ: the only organ wanted, None for every organ.
        case: the case to take them from, None for any.

    Raises:
        SemclError: when there is no such query.
    """
    names = dict.fromkeys(organs.tolist())
    found: list[int] = []
    for name in names if organ is None else {organ} & set(names):
        own = np.flatnonzero((organs == name) & ((cases == case) if case else True))
        own = own[cases[own] == cases[own[0]]] if len(own) else own
        found += own[[len(own) // 2]].tolist() if len(own) else []
    if not found:
        raise SemclError(
            "there is no such query",
            found=f"organ {organ or 'any'}, case {case or 'any'}",
            expected=f"one of {', '.join(names)}, in one of {len(set(cases))} cases",
            remedy="set organ and case to what the attention maps contain",
        )
    return found


def neighbour_sheet(neighbours: Neighbours, queries: Sequence[int], store: QueryStore, count: int) -> bytes:
    """One row per query: its patch, then the most similar ones, framed green where the organ is the same (PNG)."""
    count = min(count, neighbours.index.shape[1])
    figure, axes = plt.subplots(
        len(queries), 1 + count, figsize=(1.25 * (1 + count), 1.62 * len(queries)), squeeze=False
    )
    embeddings, same = neighbours.embeddings, neighbours.same("organ")
    for row, query in zip(axes, queries, strict=True):
        _patch(row[0], store, embeddings, query, "#212529", _caption(embeddings, query))
        for place, axis in enumerate(row[1:]):
            other = int(neighbours.index[query, place])
            if other < 0:
                axis.axis("off")
                continue
            colour, cosine = RIGHT if same[query, place] else WRONG, neighbours.similarity[query, place]
            _patch(axis, store, embeddings, other, colour, f"{cosine:.2f} {_caption(embeddings, other)}")
    figure.tight_layout(pad=0.4)
    return png(figure)


def write_neighbours(path: Path, neighbours: Neighbours) -> None:
    """Write a CSV with one line per query and neighbour."""
    table = neighbours.embeddings
    lines: list[tuple[object, ...]] = [("query", "rank", "neighbour", "similarity", "case", "organ", "phase")]
    for query, (line, cosines) in enumerate(zip(neighbours.index.tolist(), neighbours.similarity, strict=True)):
        for rank, (other, cosine) in enumerate(zip(line, cosines.tolist(), strict=True), start=1):
            if other >= 0:
                names = (table.cases[other], table.organs[other], table.phases[other])
                lines.append((table.queries[query], rank, table.queries[other], f"{cosine:.4f}", *names))
    write_csv(path, lines)


def _caption(embeddings: Embeddings, query: int) -> str:
    lines = [column[query].replace("$", r"\$") for column in (embeddings.phases, embeddings.cases)]
    return "\n".join([figure_text(embeddings.organs[query]), *lines])


def _patch(axis: Axes, store: QueryStore, embeddings: Embeddings, query: int, colour: str, caption: str) -> None:
    """Show a query's patch (of a cube its middle slice) with its mask's outline, the patient's right on the left."""
    case, _, number, _, *start = store.index[embeddings.queries[query]].tolist()
    image = store.grid.cut(store.volume(case, "image"), start, outside=-1).float().numpy()
    mask = (store.grid.cut(store.volume(case, "attention"), start) == number).numpy()
    if mask.ndim == 3:
        image, mask = image[..., image.shape[3] // 2], mask[..., mask.shape[2] // 2]
    show_slice(axis, np.moveaxis(image, 0, -1))
    if mask.any() and not mask.all():
        axis.contour(mask[::-1, ::-1].T.astype(float), [0.5], colors="#ffd43b", linewidths=0.8)
    axis.set_title(caption, fontsize=5.5, color=colour, pad=2)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=1.6)
