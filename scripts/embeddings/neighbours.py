"""Neighbours: which queries of other patients an encoder finds most alike, and how often they mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .table import Embeddings

BLOCK = 1024  # queries compared with all others at once


@dataclass(frozen=True)
class Neighbours:
    """The nearest queries of other patients by cosine similarity, the nearest first.

    Args:
        of: the queries.
        index: (Q, k) their neighbours, -1 where other patients have fewer.
        similarity: (Q, k) cosines.
    """

    embeddings: Embeddings
    index: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def same(self, label: str) -> NDArray[np.bool_]:
        """(Q, k) whether a neighbour means the same as the query."""
        labels = self.embeddings.label(label)
        equal: NDArray[np.bool_] = (labels[self.index] == labels[:, None]) & (self.index >= 0)
        return equal

    def purity(self, label: str) -> float | None:
        """The share of neighbours that mean the same, averaged over queries; None where there is but one patient."""
        found = self.index >= 0
        some = found.any(1)
        return _mean(self.same(label).sum(1)[some] / found.sum(1)[some])

    def recall(self, label: str, count: int) -> float | None:
        """The share of queries with one that means the same among the ``count`` nearest, of those that have any.

        Queries whose organ (phase, cluster) no other patient shows cannot find it and are left out; None where that
        leaves none.
        """
        hit: NDArray[np.bool_] = np.asarray(self.same(label)[:, :count].any(1))
        return _mean(hit[findable(self.embeddings, label)])


def nearest(of: Embeddings, count: int) -> Neighbours:
    """The ``count`` nearest queries of other patients of each query."""
    count = min(count, len(of))
    vectors = of.vectors
    patients = torch.from_numpy(np.unique(of.patients, return_inverse=True)[1]).to(vectors.device)
    found, cosines = [], []
    for first in range(0, len(of), BLOCK):
        part = slice(first, first + BLOCK)
        similar = vectors[part] @ vectors.T
        similar.masked_fill_(patients[part, None] == patients[None], -torch.inf)
        best, index = similar.topk(count, dim=1)
        found.append(index.masked_fill(best == -torch.inf, -1))
        cosines.append(best)
    return Neighbours(of, torch.cat(found).cpu().numpy(), torch.cat(cosines).cpu().numpy())


def findable(of: Embeddings, label: str) -> NDArray[np.bool_]:
    """(Q,) whether another patient has a query that means the same."""
    labels = of.label(label)
    shown = {name: set(of.patients[labels == name]) for name in np.unique(labels)}
    return np.array([len(shown[name]) > 1 for name in labels])


def chance(of: Embeddings, label: str) -> float | None:
    """The purity of neighbours drawn at random from the other patients; None where there is but one."""
    labels = of.label(label)
    alike, others = np.zeros(len(of)), np.zeros(len(of))
    for patient in np.unique(of.patients):
        own = of.patients == patient
        names, counts = np.unique(labels[~own], return_counts=True)
        share = dict(zip(names.tolist(), counts.tolist(), strict=True))
        alike[own] = [share.get(name, 0) for name in labels[own].tolist()]
        others[own] = (~own).sum()
    some = others > 0
    return _mean(alike[some] / others[some])


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
