"""Batches balanced over clusters, so that an anchor has positives from other patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ..errors import SemclError


class ClusterSampler(Sampler[list[int]]):
    """Batches of P clusters with K queries each, the K from different patients as far as there are any.

    Each batch draws its P clusters without replacement (all of them when there are fewer), then for each cluster K
    queries, going round its patients in random order. The order depends on the seed and the epoch alone.

    Args:
        clusters: cluster of each query.
        patients: patient of each query.
        clusters_per_batch: P.
        queries_per_cluster: K.
        batches: batches an epoch.
        seed: of the order.

    Raises:
        SemclError: when P, K or ``batches`` is not positive.
    """

    def __init__(
        self,
        clusters: Sequence[int] | NDArray[np.integer],
        patients: Sequence[int] | NDArray[np.integer],
        clusters_per_batch: int,
        queries_per_cluster: int,
        batches: int,
        seed: int = 0,
    ) -> None:
        if min(clusters_per_batch, queries_per_cluster, batches) < 1:
            raise SemclError(
                "a batch must hold something",
                found=f"{clusters_per_batch} clusters x {queries_per_cluster} queries, {batches} batches an epoch",
                expected="at least 1 each",
                remedy="raise clusters_per_batch, queries_per_cluster or epoch_length",
            )
        cluster, patient = np.asarray(clusters), np.asarray(patients)
        self.members = {
            int(name): [
                np.flatnonzero((cluster == name) & (patient == who)) for who in np.unique(patient[cluster == name])
            ]
            for name in np.unique(cluster)
        }  # cluster -> its patients' queries
        self.clusters_per_batch = min(clusters_per_batch, len(self.members))
        self.queries_per_cluster, self.batches, self.seed = queries_per_cluster, batches, seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        names = np.array(list(self.members))
        for _ in range(self.batches):
            chosen = rng.choice(names, self.clusters_per_batch, replace=False)
            yield [query for name in chosen.tolist() for query in self._draw(name, rng)]

    def _draw(self, name: int, rng: np.random.Generator) -> list[int]:
        by_patient = self.members[name]
        order = rng.permutation(len(by_patient))
        return [int(rng.choice(by_patient[order[number % len(order)]])) for number in range(self.queries_per_cluster)]
