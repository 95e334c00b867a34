"""Nearest neighbours: the queries of other patients an encoder finds most similar, and how often labels agree."""

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
    """The nearest queries of other patients by cosine similarity, nearest first.

    Args:
        embeddings: the queries.
        index: (Q, k) their neighbours, -1 where other patients have fewer.
        similarity: (Q, k) cosines.
    """

    embeddings: Embeddings
    index: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def same(self, label: str) -> NDArray[np.bool_]:
        """(Q, k) whether a neighbour has the query's label."""
        labels = self.embeddings.label(label)
        equal: NDArray[np.bool_] = (labels[self.index] == labels[:, None]) & (self.index >= 0)
        return equal

    def purity(self, label: str) -> float | None:
        """The share of neighbours with the query's label, averaged over queries; None with a single patient."""
        found = self.index >= 0
        some = found.any(1)
        return _mean(self.same(label).sum(1)[some] / found.sum(1)[some])

    def recall(self, label: str, count: int) -> float | None:
        """The share of queries with at least one of the ``count`` nearest neighbours of the same label.

        Queries whose label (organ, phase or cluster) no other patient has are left out; None where that leaves none.
        """
        hit: NDArray[np.bool_] = np.asarray(self.same(label)[:, :count].any(1))
        return _mean(hit[findable(self.embeddings, label)])


def nearest(embeddings: Embeddings, count: int) -> Neighbours:
    """The ``count`` nearest queries of other patients, for each query."""
    count = min(count, len(embeddings))
    vectors = embeddings.vectors
    patients = torch.from_numpy(np.unique(embeddings.patients, return_inverse=True)[1]).to(vectors.device)
    found, cosines = [], []
    for first in range(0, len(embeddings), BLOCK):
        block = slice(first, first + BLOCK)
        similar = vectors[block] @ vectors.T
        similar.masked_fill_(patients[block, None] == patients[None], -torch.inf)
        best, index = similar.topk(count, dim=1)
        found.append(index.masked_fill(best == -torch.inf, -1))
        cosines.append(best)
    return Neighbours(embeddings, torch.cat(found).cpu().numpy(), torch.cat(cosines).cpu().numpy())


def findable(embeddings: Embeddings, label: str) -> NDArray[np.bool_]:
    """(Q,) whether another patient has a query of the same label."""
    counts, name, _ = _counts(embeddings, label)
    shared: NDArray[np.bool_] = (counts > 0).sum(1) > 1
    return shared[name]


def chance(embeddings: Embeddings, label: str) -> float | None:
    """The expected purity of random neighbours from other patients; None with a single patient."""
    counts, name, patient = _counts(embeddings, label)
    alike = counts.sum(1)[name] - counts[name, patient]
    others = counts.sum() - counts.sum(0)[patient]
    some = others > 0
    return _mean(alike[some] / others[some])


def _counts(embeddings: Embeddings, label: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of queries (labels, patients), and each query's label and patient as rows and columns of them."""
    names, name = np.unique(embeddings.label(label), return_inverse=True)
    patients, patient = np.unique(embeddings.patients, return_inverse=True)
    shape = len(names), len(patients)
    return np.bincount(name * shape[1] + patient, minlength=shape[0] * shape[1]).reshape(shape), name, patient


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
