"""Retrieval: the queries of other patients most like a given one, as a table and as a sheet of pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from ..errors import SemclError
from ..evaluate.figures import figure_text, png, show_slice
from ..files import written_whole
from ..queries.store import QueryStore
from .neighbours import Neighbours
from .table import Embeddings

RIGHT, WRONG = "#2b8a3e", "#c92a2a"


def pictured_queries(of: Embeddings, organ: str | None, case: str | None) -> list[int]:
    """One query an organ: the middle one of the case, or of the first case that has the organ.

    Args:
        of: the queries.
        organ: the only organ wanted, None for each.
        case: the case to take them from, None for any.

    Raises:
        SemclError: when there is no such query.
    """
    wanted = [name for name in dict.fromkeys(of.organs.tolist()) if organ in (None, name)]
    found: list[int] = []
    for name in wanted:
        own = np.flatnonzero((of.organs == name) & ((of.cases == case) if case else True))
        own = own[of.cases[own] == of.cases[own[0]]] if len(own) else own
        found += own[[len(own) // 2]].tolist() if len(own) else []
    if not found:
        raise SemclError(
            "there is no such query",
            found=f"organ {organ or 'any'}, case {case or 'any'}",
            expected=f"one of {', '.join(dict.fromkeys(of.organs.tolist()))}, in one of {len(set(of.cases))} cases",
            remedy="set organ and case to what the attention maps show",
        )
    return found


def neighbour_sheet(neighbours: Neighbours, queries: Sequence[int], store: QueryStore, count: int) -> bytes:
    """A row a query: its patch, then the most similar ones, framed green where they mean the same organ (PNG)."""
    count = min(count, neighbours.index.shape[1])
    figure, axes = plt.subplots(
        len(queries), 1 + count, figsize=(1.25 * (1 + count), 1.62 * len(queries)), squeeze=False
    )
    of, same = neighbours.embeddings, neighbours.same("organ")
    for row, query in zip(axes, queries, strict=True):
        _patch(row[0], store, of, query, "#212529", _told(of, query))
        for place, axis in enumerate(row[1:]):
            other = int(neighbours.index[query, place])
            if other < 0:
                axis.axis("off")
                continue
            colour, cosine = RIGHT if same[query, place] else WRONG, neighbours.similarity[query, place]
            _patch(axis, store, of, other, colour, f"{cosine:.2f} {_told(of, other)}")
    figure.tight_layout(pad=0.4)
    return png(figure)


def write_neighbours(path: Path, neighbours: Neighbours) -> None:
    """Write a CSV with a line a query and neighbour."""
    of = neighbours.embeddings
    with written_whole(path) as aside, open(aside, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("query", "rank", "neighbour", "similarity", "case", "organ", "phase"))
        for query, (line, cosines) in enumerate(zip(neighbours.index.tolist(), neighbours.similarity, strict=True)):
            writer.writerows(
                (
                    of.queries[query],
                    rank,
                    of.queries[other],
                    f"{cosine:.4f}",
                    of.cases[other],
                    of.organs[other],
                    of.phases[other],
                )
                for rank, (other, cosine) in enumerate(zip(line, cosines.tolist(), strict=True), start=1)
                if other >= 0
            )


def _told(of: Embeddings, query: int) -> str:
    return "\n".join(
        [figure_text(of.organs[query]), *(name[query].replace("$", r"\$") for name in (of.phases, of.cases))]
    )


def _patch(axis: Axes, store: QueryStore, of: Embeddings, query: int, colour: str, told: str) -> None:
    """A query's patch with the outline of its mask, the patient's right on the left; of a cube its middle slice."""
    case, _, number, _, *start = store.index[of.queries[query]].tolist()
    image = store.grid.cut(store.volume(case, "image"), start, outside=-1).float().numpy()
    mask = (store.grid.cut(store.volume(case, "attention"), start) == number).numpy()
    if mask.ndim == 3:
        image, mask = image[..., image.shape[3] // 2], mask[..., mask.shape[2] // 2]
    show_slice(axis, np.moveaxis(image, 0, -1))
    if mask.any() and not mask.all():
        axis.contour(mask[::-1, ::-1].T.astype(float), [0.5], colors="#ffd43b", linewidths=0.8)
    axis.set_title(told, fontsize=5.5, color=colour, pad=2)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=1.6)
