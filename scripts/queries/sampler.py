"""Batches balanced over clusters, so that an anchor has positives from other patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from .. import ranks
from ..errors import SemclError

Members = dict[int, list[NDArray[np.integer]]]
MANY = 10_000  # patients of a cluster, of which a few are chosen without putting all in order


class ClusterSampler(Sampler[list[int]]):
    """Batches of P clusters with K queries each, the K from different patients as far as there are any.

    Each batch draws its P clusters without replacement (all of them when there are fewer), then for each cluster K
    queries, going round its patients in random order; none twice unless the cluster has fewer than K. The order
    depends on the seed and the epoch alone. With several ranks each draws the same batch and takes its share: of
    every cluster an equal part where their number divides K, none in common.

    With ``slices`` the P x K queries of a batch are those of whole slices, a patient's after the other's in random
    order, so that most negatives are other organs of the same slice; the last slice is given as far as it fits.

    Args:
        clusters: cluster of each query.
        patients: patient of each query.
        clusters_per_batch: P, of all ranks together.
        queries_per_cluster: K, of all ranks together.
        batches: batches an epoch.
        seed: of the order.
        slices: number of the slice of each query; None to draw by cluster.

    Attributes:
        epoch: the epoch that will be drawn next.
        shared: of the queries drawn in the last epoch, the share with a positive from another patient.

    Raises:
        SemclError: when P, K or ``batches`` is not positive, there are no queries, or ranks cannot share a batch.
    """

    def __init__(
        self,
        clusters: Sequence[int] | NDArray[np.integer],
        patients: Sequence[int] | NDArray[np.integer],
        clusters_per_batch: int,
        queries_per_cluster: int,
        batches: int,
        seed: int = 0,
        slices: Sequence[int] | NDArray[np.integer] | None = None,
    ) -> None:
        if min(clusters_per_batch, queries_per_cluster, batches, len(clusters)) < 1:
            raise SemclError(
                "a batch must hold something",
                found=f"{clusters_per_batch} clusters x {queries_per_cluster} queries, {batches} batches an epoch, "
                f"{len(clusters)} queries",
                expected="at least 1 each",
                remedy="raise clusters_per_batch, queries_per_cluster or epoch_length, or look at the query store",
            )
        self.clusters, self.patients = np.asarray(clusters), np.asarray(patients)
        self.members = _members(self.clusters, self.patients)
        self.by_slice = None if slices is None else _members(self.patients, np.asarray(slices))
        self.clusters_per_batch = min(clusters_per_batch, len(self.members))
        self.queries_per_cluster, self.batches, self.seed = queries_per_cluster, batches, seed
        ranks.share(
            self.clusters_per_batch * queries_per_cluster,
            "clusters_per_batch (as far as there are) x queries_per_cluster",
        )
        self.epoch = 0
        self.shared = 0.0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        shares = []
        for _ in range(self.batches):
            batch = self._by_cluster(rng) if self.by_slice is None else self._by_slice(self.by_slice, rng)
            shares.append(other_patients(self.clusters[batch], self.patients[batch]))
            self.shared = float(np.mean(shares))  # now: who counts batches does not come back for the end
            yield ranks.own(batch)

    def _by_cluster(self, rng: np.random.Generator) -> list[int]:
        names = np.array(list(self.members))
        chosen = rng.choice(names, self.clusters_per_batch, replace=False)
        return [query for name in chosen.tolist() for query in self._draw(name, rng)]

    def _by_slice(self, by_slice: Members, rng: np.random.Generator) -> list[int]:
        """P x K queries: a slice of each patient, then another of each."""
        wanted, names = self.clusters_per_batch * self.queries_per_cluster, list(by_slice)
        batch: list[int] = []
        while len(batch) < wanted:
            for number in rng.permutation(len(names)).tolist():
                of_patient = by_slice[names[number]]
                batch += of_patient[int(rng.integers(len(of_patient)))].tolist()
                if len(batch) >= wanted:
                    break
        return batch[:wanted]

    def _draw(self, name: int, rng: np.random.Generator) -> list[int]:
        """K queries of a cluster: one of each patient in turn, each patient's in random order."""
        by_patient = self.members[name]
        if len(by_patient) > MANY:
            order = rng.choice(len(by_patient), min(self.queries_per_cluster, len(by_patient)), replace=False)
        else:
            order = rng.permutation(len(by_patient))[: self.queries_per_cluster]
        drawn = [rng.permutation(by_patient[who])[: self.queries_per_cluster].tolist() for who in order]
        turns = [query for turn in zip_longest(*drawn) for query in turn if query is not None]
        return [turns[number % len(turns)] for number in range(self.queries_per_cluster)]

    def metrics(self) -> dict[str, float]:
        """What the last epoch's batches were like, for the log."""
        return {"positives_of_other_patients": self.shared}


def _members(groups: NDArray[np.integer], within: NDArray[np.integer]) -> Members:
    """Group -> its queries, in parts by what they are within it: cluster -> queries of each patient, say."""
    order = np.lexsort((within, groups))
    group, part = groups[order], within[order]
    borders = np.flatnonzero((np.diff(group) != 0) | (np.diff(part) != 0)) + 1
    members: Members = {}
    for queries in np.split(order, borders):
        members.setdefault(int(groups[queries[0]]), []).append(queries)
    return members


def other_patients(clusters: NDArray[np.integer], patients: NDArray[np.integer]) -> float:
    """Share of a batch's queries that have a positive (same cluster) from another patient."""
    _, group, size = np.unique(clusters, return_inverse=True, return_counts=True)
    pairs = np.stack([group, patients])
    _, own, same = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    return float((size[group] > same[own.ravel()]).mean())
