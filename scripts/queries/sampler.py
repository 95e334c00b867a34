"""Batches balanced over clusters, so that anchors have positives from other patients."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from .. import ranks
from ..errors import SemclError

Members = dict[int, list[NDArray[np.integer]]]
MANY_PATIENTS = 10_000  # patients of a cluster above which a few are chosen without permuting all


class ClusterSampler(Sampler[list[int]]):
    """Batches of P clusters with K queries each, from different patients as far as possible.

    Each batch samples its P clusters without replacement (all of them when there are fewer), then K queries of each
    cluster, cycling through its patients in random order; none twice unless the cluster has fewer than K. The order
    depends on the seed and the epoch alone. With several ranks, each samples the same batch and takes its own part: an
    equal part of every cluster where the number of ranks divides K.

    With ``slices`` the P x K queries of a batch are those of whole slices, patient after patient in random order, so
    that most negatives are other organs of the same slice; the last slice is cut off at P x K.

    Args:
        clusters: cluster of each query.
        patients: patient of each query.
        clusters_per_batch: P, over all ranks.
        queries_per_cluster: K, over all ranks.
        batches: batches per epoch.
        seed: of the order.
        slices: number of the slice of each query; None: sample by cluster.
        fixed: the same batches in every epoch, as for validation.

    Attributes:
        epoch: number of the next epoch.
        shared: share of the last epoch's queries that had a positive from another patient.

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
        fixed: bool = False,
    ) -> None:
        if min(clusters_per_batch, queries_per_cluster, batches, len(clusters)) < 1:
            raise SemclError(
                "a batch must hold something",
                found=f"{clusters_per_batch} clusters x {queries_per_cluster} queries, {batches} batches per epoch, "
                f"{len(clusters)} queries",
                expected="at least 1 each",
                remedy="raise clusters_per_batch, queries_per_cluster or epoch_length, or check the query store",
            )
        self.clusters, self.patients = np.asarray(clusters), np.asarray(patients)
        self.slice = None if slices is None else np.asarray(slices)
        self.hold_out([])
        self.clusters_per_batch = min(clusters_per_batch, len(self.members))
        self.queries_per_cluster, self.batches, self.seed = queries_per_cluster, batches, seed
        ranks.share(
            self.clusters_per_batch * queries_per_cluster,
            "clusters_per_batch (as far as there are) x queries_per_cluster",
        )
        self.epoch, self.fixed = 0, fixed
        self.shared = 0.0

    def hold_out(self, patients: Collection[int]) -> None:
        """Leave the queries of some patients out from now on; those of none for an empty collection.

        Raises:
            SemclError: when no query is left.
        """
        kept = np.flatnonzero(~np.isin(self.patients, list(patients)))
        if not len(kept):
            raise SemclError(
                "no query is left to learn from",
                found=f"{len(self.patients)} queries, all of patients that are held out",
                expected="queries of at least one other patient",
                remedy="label more patients",
            )
        self.members = _members(self.clusters, self.patients, kept)
        self.by_slice = None if self.slice is None else _members(self.patients, self.slice, kept)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += not self.fixed
        shares = []
        for _ in range(self.batches):
            batch = self._by_cluster(rng) if self.by_slice is None else self._by_slice(self.by_slice, rng)
            shares.append(other_patients(self.clusters[batch], self.patients[batch]))
            self.shared = float(np.mean(shares))  # now: a loader that counts batches never reaches the end
            yield ranks.own(batch)

    def _by_cluster(self, rng: np.random.Generator) -> list[int]:
        """P x K queries: K of each of P clusters."""
        clusters = np.array(list(self.members))
        chosen = rng.choice(clusters, min(self.clusters_per_batch, len(clusters)), replace=False)
        chosen = np.resize(chosen, self.clusters_per_batch)  # some twice, where patients that are held out leave few
        return [query for cluster in chosen.tolist() for query in self._sample(cluster, rng)]

    def _by_slice(self, by_slice: Members, rng: np.random.Generator) -> list[int]:
        """P x K queries: one slice of each patient, then another of each."""
        wanted, names = self.clusters_per_batch * self.queries_per_cluster, list(by_slice)
        batch: list[int] = []
        while len(batch) < wanted:
            for number in rng.permutation(len(names)).tolist():
                of_patient = by_slice[names[number]]
                batch += of_patient[int(rng.integers(len(of_patient)))].tolist()
                if len(batch) >= wanted:
                    break
        return batch[:wanted]

    def _sample(self, cluster: int, rng: np.random.Generator) -> list[int]:
        """K queries of a cluster: one of each patient in turn, each patient's in random order."""
        by_patient = self.members[cluster]
        if len(by_patient) > MANY_PATIENTS:
            order = rng.choice(len(by_patient), min(self.queries_per_cluster, len(by_patient)), replace=False)
        else:
            order = rng.permutation(len(by_patient))[: self.queries_per_cluster]
        shuffled = [rng.permutation(by_patient[patient])[: self.queries_per_cluster].tolist() for patient in order]
        queries = [query for turn in zip_longest(*shuffled) for query in turn if query is not None]
        return [queries[number % len(queries)] for number in range(self.queries_per_cluster)]

    def metrics(self) -> dict[str, float]:
        """Metrics of the last epoch's batches, for the log."""
        return {"positives_of_other_patients": self.shared}


def _members(groups: NDArray[np.integer], within: NDArray[np.integer], kept: NDArray[np.integer]) -> Members:
    """Group -> its queries of those kept, split by a second label: cluster -> queries of each patient, for example."""
    order = kept[np.lexsort((within[kept], groups[kept]))]
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
