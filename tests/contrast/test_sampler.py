"""Batches balanced over clusters."""

import numpy as np
import pytest

from scripts.contrast.sampler import ClusterSampler
from scripts.errors import SemclError

CLUSTERS = np.repeat([0, 1, 2, 3], [50, 5, 20, 3])
PATIENTS = np.concatenate([np.arange(50) % 5, [0, 0, 0, 1, 1], np.arange(20) % 4, [2, 2, 2]])


def test_a_batch_holds_p_clusters_with_k_queries_each():
    for batch in ClusterSampler(CLUSTERS, PATIENTS, 3, 4, batches=20):
        names, counts = np.unique(CLUSTERS[batch], return_counts=True)
        assert len(names) == 3
        assert set(counts) == {4}


def test_the_queries_of_a_cluster_are_of_as_many_patients_as_there_are():
    for batch in ClusterSampler(CLUSTERS, PATIENTS, 4, 4, batches=20):
        for cluster, patients in {0: 4, 1: 2, 2: 4, 3: 1}.items():
            chosen = [query for query in batch if CLUSTERS[query] == cluster]
            assert len(set(PATIENTS[chosen])) == patients


def test_fewer_clusters_than_asked_for_are_all_taken():
    (batch,) = ClusterSampler(CLUSTERS, PATIENTS, 99, 2, batches=1)
    assert set(CLUSTERS[batch]) == {0, 1, 2, 3}


def test_the_seed_and_the_epoch_make_the_order():
    def epochs(seed):
        sampler = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=5, seed=seed)
        return [list(sampler), list(sampler)]

    assert epochs(1) == epochs(1)
    assert epochs(1)[0] != epochs(1)[1]
    assert epochs(1) != epochs(2)


def test_an_epoch_has_its_length():
    sampler = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=7)
    assert len(sampler) == len(list(sampler)) == 7


@pytest.mark.parametrize("numbers", [(0, 2, 3), (2, 0, 3), (2, 2, 0)])
def test_an_empty_batch_is_refused(numbers):
    with pytest.raises(SemclError, match="a batch must hold something"):
        ClusterSampler(CLUSTERS, PATIENTS, *numbers)
