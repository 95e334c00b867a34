"""Queries of a store as samples of a DataLoader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from ..cohort.label_table import IGNORED
from .grid import AIR
from .store import QueryStore


class QueryDataset(Dataset[dict[str, Any]]):
    """Queries of a store as samples: image (C, P, P[, P]), attention (1, ...), and with ``target`` the label (1, ...).

    The label is 1 in the object, 0 outside, and -1 where voxels are ignored. Of an organ that a case does not annotate
    there is none, and so there are no such queries with ``target``.

    Args:
        store: the query store.
        target: include the target mask.
        margin: additional voxels on each side of a patch, into which views can move.
        data: entries of a datalist, whose "case" says which cases' queries; None: those of all cases of the store.

    Attributes:
        store: the store of these cases, whose index has one row per sample.
    """

    def __init__(
        self, store: QueryStore, target: bool = False, margin: int = 0, data: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        part = store if data is None else store.part([str(entry["case"]) for entry in data])
        self.store = part.annotated() if target else part
        self.target, self.margin = target, margin

    def __len__(self) -> int:
        return len(self.store.index)

    def __getitem__(self, item: int) -> dict[str, Any]:
        case, _, number, cluster, *start = self.store.index[item].tolist()
        grid = self.store.grid
        patch = grid.cut(self.store.volume(case, "image"), start, self.margin, AIR)
        sample: dict[str, Any] = {"image": patch.float(), "query": item, "cluster": cluster, "object": number}
        sample["phase"] = self.store.table.phase_of(cluster)
        attention = grid.cut(self.store.volume(case, "attention"), start, self.margin) == number
        sample["attention"] = attention.float()[None]
        if self.target:
            target = grid.cut(self.store.volume(case, "target"), start, self.margin)
            sample["target"] = ((target == number).float() - (target == IGNORED).float())[None]
        return sample
