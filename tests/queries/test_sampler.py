"""Batches balanced over clusters."""

import csv
from collections import Counter
from itertools import chain, islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine
from torch.utils.data import DataLoader, TensorDataset

from scripts import ranks as module
from scripts.errors import SemclError
from scripts.job.progress import LossCurve
from scripts.queries import sampler as drawing
from scripts.queries.sampler import ClusterSampler, other_patients

CLUSTERS = np.repeat([0, 1, 2, 3], [50, 5, 20, 3])
PATIENTS = np.concatenate([np.arange(50) % 5, [0, 0, 0, 1, 1], np.arange(20) % 4, [2, 2, 2]])

# queries a patient of one cluster, and K
UNEVEN = {
    "one patient has most": ([1, 1, 40], 9),
    "one has none left in the second round": ([1, 5, 9], 8),
    "two patients have more than their turns": ([1, 5, 40], 9),
    "one patient": ([7], 4),
    "more patients than K": ([3, 1, 2, 8, 1], 3),
    "as many queries as K": ([2, 1, 3], 6),
    "fewer queries than K": ([1, 2], 8),
    "a single query": ([1], 5),
}
each_uneven = pytest.mark.parametrize(("counts", "wanted"), UNEVEN.values(), ids=UNEVEN.keys())


def one_cluster(counts, wanted, batches=30, seed=0):
    """Patients of the queries of a single cluster, and the batches sampled from it."""
    patients = np.repeat(np.arange(len(counts)), counts)
    return patients, list(ClusterSampler(np.zeros_like(patients), patients, 1, wanted, batches, seed))


def share_by_pairs(clusters, patients):
    """What ``other_patients`` counts, by a loop over pairs."""
    pairs = list(zip(clusters, patients, strict=True))
    with_positive = [any(c == cluster and p != patient for c, p in pairs) for cluster, patient in pairs]
    return sum(with_positive) / len(pairs)


def as_rank(monkeypatch, rank, ranks):
    """Make the sampler believe it is one of several ranks."""
    process = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: rank, get_world_size=lambda: ranks
    )
    monkeypatch.setattr(module, "dist", process)


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


@each_uneven
def test_as_many_patients_as_k_allows_whatever_their_counts(counts, wanted):
    patients, batches = one_cluster(counts, wanted)
    for batch in batches:
        assert len(batch) == wanted
        assert len(set(patients[batch])) == min(wanted, len(counts))


@each_uneven
def test_no_query_is_repeated_before_all_of_its_cluster_are_sampled(counts, wanted):
    _, batches = one_cluster(counts, wanted)
    for batch in batches:
        rounds = [batch[start : start + sum(counts)] for start in range(0, wanted, sum(counts))]
        assert all(len(set(queries)) == len(queries) for queries in rounds)


@each_uneven
def test_patients_take_turns_until_one_has_no_more(counts, wanted):
    patients, batches = one_cluster(counts, wanted)
    for batch in batches:
        taken = np.bincount(patients[batch[: sum(counts)]], minlength=len(counts))
        can_give_more = taken < counts
        assert taken[can_give_more].min(initial=99) >= taken.max() - 1


def test_a_patient_with_many_queries_comes_no_more_often_than_one_with_few():
    patients, batches = one_cluster([1, 1, 200, 1], 2, batches=400)
    times = np.bincount(patients[np.concatenate(batches)])
    assert times.sum() == 800
    assert np.abs(times - 200).max() < 50  # 5 standard deviations of a fair draw


def test_each_query_of_a_patient_comes_equally_often():
    _, batches = one_cluster([8, 8], 2, batches=800)
    times = np.bincount(np.concatenate(batches))
    assert times.sum() == 1600
    assert np.abs(times - 100).max() < 50


def test_all_clusters_are_used_when_there_are_fewer_than_requested():
    (batch,) = ClusterSampler(CLUSTERS, PATIENTS, 99, 2, batches=1)
    assert set(CLUSTERS[batch]) == {0, 1, 2, 3}


def test_every_query_is_sampled_eventually():
    taken = {query for batch in ClusterSampler(CLUSTERS, PATIENTS, 2, 3, batches=500) for query in batch}
    assert taken == set(range(len(CLUSTERS)))


def test_clusters_and_patients_may_have_any_numbers_in_any_order():
    rng = np.random.default_rng(0)
    clusters, patients = rng.choice([7, -3, 900], 60), rng.choice([5, 1000, 41], 60)
    for batch in ClusterSampler(clusters.tolist(), patients.tolist(), 2, 3, batches=10):
        for name in set(clusters[batch]):
            assert len(set(patients[[query for query in batch if clusters[query] == name]])) == 3


# whole slices

SLICES = np.arange(len(CLUSTERS)) % 13  # numbers a patient's slices may share with another's


def test_a_batch_of_whole_slices_has_all_queries_of_each_but_the_last():
    for batch in ClusterSampler(CLUSTERS, PATIENTS, 4, 5, batches=40, slices=SLICES):
        assert len(batch) == 20
        left = batch
        while left:
            alike = (PATIENTS[left[0]] == PATIENTS) & (SLICES[left[0]] == SLICES)
            whole = np.flatnonzero(alike).tolist()
            assert left[: len(whole)] == whole[: len(left)]
            left = left[len(whole) :]


def test_patients_take_turns_with_their_slices():
    patients = np.repeat(np.arange(6), 40)
    slices = np.arange(240) // 4
    for batch in ClusterSampler(patients * 0, patients, 1, 24, batches=40, slices=slices):
        assert Counter(patients[batch]) == Counter(dict.fromkeys(range(6), 4))
    (batch,) = ClusterSampler(patients * 0, patients, 1, 48, batches=1, slices=slices)
    assert Counter(patients[batch]) == Counter(dict.fromkeys(range(6), 8))


def test_whole_slices_depend_only_on_seed_and_epoch_and_all_occur():
    given = {"clusters_per_batch": 4, "queries_per_cluster": 5, "batches": 200, "slices": SLICES}
    sampler = ClusterSampler(CLUSTERS, PATIENTS, **given)
    first, second = list(sampler), list(sampler)
    assert first == list(ClusterSampler(CLUSTERS, PATIENTS, **given))
    assert first != second
    assert first != list(ClusterSampler(CLUSTERS, PATIENTS, seed=1, **given))
    assert set(chain(*first)) == set(range(len(CLUSTERS)))


def test_ranks_share_a_batch_of_whole_slices(monkeypatch):
    (whole,) = ClusterSampler(CLUSTERS, PATIENTS, 4, 5, batches=1, slices=SLICES)
    parts = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        parts += list(ClusterSampler(CLUSTERS, PATIENTS, 4, 5, batches=1, slices=SLICES))
    assert sorted(chain(*parts)) == sorted(whole)
    assert [len(part) for part in parts] == [10, 10]


@settings(max_examples=50, deadline=None)
@given(
    queries=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=40),
    clusters_per_batch=st.integers(1, 6),
    wanted=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_a_batch_of_any_cohort_is_balanced(queries, clusters_per_batch, wanted, seed):
    clusters, patients = np.array(queries).T
    sampler = ClusterSampler(clusters, patients, clusters_per_batch, wanted, 3, seed)
    batches = list(sampler)
    for batch in batches:
        names = Counter(clusters[batch].tolist())
        assert len(names) == min(clusters_per_batch, len(set(clusters)))
        assert set(names.values()) == {wanted}
        for name in names:
            taken = [query for query in batch if clusters[query] == name]
            there = np.flatnonzero(clusters == name)
            assert len(set(patients[taken])) == min(wanted, len(set(patients[there])))
            times = [taken.count(query) for query in there]
            assert sum(times) == wanted
            assert max(times) <= -(-wanted // len(there))
            assert min(times) >= wanted // len(there)
    shares = [share_by_pairs(clusters[batch], patients[batch]) for batch in batches]
    assert sampler.shared == pytest.approx(np.mean(shares))


def test_the_order_depends_on_seed_and_epoch():
    def epochs(seed):
        sampler = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=5, seed=seed)
        return [list(sampler), list(sampler)]

    assert epochs(1) == epochs(1)
    assert epochs(1)[0] != epochs(1)[1]
    assert epochs(1) != epochs(2)
    assert epochs(1)[1] != epochs(2)[0]  # seed and epoch are not interchangeable


def test_an_epoch_can_be_sampled_again():
    sampler = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=5)
    epochs = [list(sampler) for _ in range(3)]
    assert sampler.epoch == 3
    sampler.epoch = 1
    assert [list(sampler), list(sampler)] == epochs[1:]
    assert sampler.epoch == 3


def test_an_epoch_left_early_does_not_change_the_next():
    sampler = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=5)
    whole = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=5)
    assert list(islice(sampler, 2)) == list(whole)[:2]
    assert list(sampler) == list(whole)


def test_an_epoch_has_its_length():
    sampler = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=7)
    assert len(sampler) == len(list(sampler)) == 7


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_data_loader_gives_the_batches_whatever_its_workers(workers):
    expected = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=5)
    sampler = ClusterSampler(CLUSTERS, PATIENTS, 3, 2, batches=5)
    numbers = TensorDataset(torch.arange(len(CLUSTERS)))
    loader = DataLoader(numbers, batch_sampler=sampler, num_workers=workers)
    assert len(loader) == 5
    for _ in range(2):
        assert [batch.tolist() for (batch,) in loader] == list(expected)
        assert sampler.shared == expected.shared


@pytest.mark.parametrize(("ranks", "wanted"), [(1, 4), (2, 2), (2, 4), (4, 4), (3, 6), (2, 3), (4, 6), (8, 2)])
def test_the_ranks_together_sample_the_batch_of_one_process(monkeypatch, ranks, wanted):
    clusters, patients = np.repeat(np.arange(5), 30), np.tile(np.arange(30) % 7, 5)
    make = (clusters, patients, 4, wanted, 3)
    expected = list(ClusterSampler(*make))
    shares = []
    for rank in range(ranks):
        as_rank(monkeypatch, rank, ranks)
        shares.append(list(ClusterSampler(*make)))
    for step, batch in enumerate(expected):
        parts = [share[step] for share in shares]
        assert sorted(chain.from_iterable(parts)) == sorted(batch)
        assert len(set(batch)) == len(batch)  # so the parts have nothing in common
        assert {len(part) for part in parts} == {len(batch) // ranks}
        if wanted % ranks == 0:
            for part in parts:
                assert Counter(clusters[part].tolist()) == dict.fromkeys(clusters[batch].tolist(), wanted // ranks)


def test_of_very_many_patients_few_are_sampled_without_repetition(monkeypatch):
    monkeypatch.setattr(drawing, "MANY_PATIENTS", 3)
    sampler = ClusterSampler(CLUSTERS, PATIENTS, 4, 4, 200)
    taken = Counter()
    for batch in sampler:
        assert len(batch) == 16
        first = [query for query in batch if CLUSTERS[query] == 0]
        assert len(set(PATIENTS[first])) == len(first) == 4
        taken.update(PATIENTS[first].tolist())
    assert set(taken) == set(range(5))
    assert max(taken.values()) < 1.2 * min(taken.values())


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch):
    as_rank(monkeypatch, 0, 3)
    with pytest.raises(SemclError, match=r"(?s)a batch of 8 cannot be shared evenly by 3 ranks.*a multiple of 3"):
        ClusterSampler(CLUSTERS, PATIENTS, 4, 2, 3)


def test_a_rank_reports_the_metric_of_the_whole_batch(monkeypatch):
    clusters, patients = np.repeat(np.arange(5), 30), np.tile(np.arange(30) % 7, 5)
    as_rank(monkeypatch, 1, 2)
    sampler = ClusterSampler(clusters, patients, 4, 2, 3)
    assert [len(batch) for batch in sampler] == [4, 4, 4]
    assert sampler.shared == 1  # though of each cluster this rank holds one query alone


BATCHES = {
    "two patients in each cluster": ([0, 0, 1, 1], [0, 1, 0, 1], 1.0),
    "one patient in each cluster": ([0, 0, 1, 1], [0, 0, 1, 1], 0.0),
    "one cluster has two": ([0, 0, 1, 1], [0, 1, 2, 2], 0.5),
    "a query alone in its cluster": ([0, 0, 1], [0, 1, 0], 2 / 3),
    "the same query twice": ([3, 3], [7, 7], 0.0),
    "in no order": ([1, 0, 1, 0, 1], [5, 5, 5, 5, 9], 0.6),
}


@pytest.mark.parametrize(("clusters", "patients", "share"), BATCHES.values(), ids=BATCHES.keys())
def test_the_share_with_a_positive_of_another_patient(clusters, patients, share):
    assert other_patients(np.array(clusters), np.array(patients)) == pytest.approx(share)
    assert share_by_pairs(clusters, patients) == pytest.approx(share)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_share_is_that_of_a_loop_over_pairs(queries):
    clusters, patients = np.array(queries).T
    assert other_patients(clusters, patients) == pytest.approx(share_by_pairs(clusters, patients))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_share_of_each_epoch_is_in_the_curve_and_among_the_metrics(tmp_path, workers):
    clusters, patients = np.repeat([0, 1, 2], 6), np.array([0] * 6 + [0, 1, 2] * 4)
    sampler = ClusterSampler(clusters, patients, 1, 2, batches=3)
    expected, taken = ClusterSampler(clusters, patients, 1, 2, batches=3), []
    for _ in range(4):
        list(expected)
        taken.append(expected.shared)
    assert min(taken) > 0
    assert len(set(taken)) > 1
    loader = DataLoader(TensorDataset(torch.arange(18)), batch_sampler=sampler, num_workers=workers)
    engine = Engine(lambda engine, batch: {"loss": torch.zeros(())})
    LossCurve(str(tmp_path / "curve.csv"), "pretrain", sampler.metrics).attach(engine)
    engine.run(loader, max_epochs=4)
    with open(tmp_path / "curve.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["stage", "run", "epoch", "loss", "positives_of_other_patients"]
    assert [float(row[4]) for row in rows] == pytest.approx(taken, abs=1e-6)
    assert engine.state.metrics == {"positives_of_other_patients": pytest.approx(taken[-1])}


REFUSED = {
    "no cluster": ([0, 1], 0, 2, 3, "0 clusters x 2 queries, 3 batches per epoch, 2 queries"),
    "no query of a cluster": ([0, 1], 2, 0, 3, "2 clusters x 0 queries"),
    "no batch": ([0, 1], 2, 2, 0, "0 batches per epoch"),
    "a negative number": ([0, 1], -1, 2, 3, "-1 clusters"),
    "no queries": ([], 2, 2, 3, "3 batches per epoch, 0 queries"),
}


@pytest.mark.parametrize(("clusters", "p", "k", "batches", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_an_empty_batch_is_refused(clusters, p, k, batches, found):
    with pytest.raises(SemclError, match=rf"(?s)a batch must hold something.*found: .*{found}"):
        ClusterSampler(clusters, clusters, p, k, batches)


@pytest.mark.parametrize("slices", [None, np.arange(len(CLUSTERS)) // 3], ids=["by cluster", "by slice"])
def test_patients_that_are_held_out_are_in_no_batch_until_they_come_back(slices):
    before = list(ClusterSampler(CLUSTERS, PATIENTS, 4, 6, 10, slices=slices))
    sampler = ClusterSampler(CLUSTERS, PATIENTS, 4, 6, 10, slices=slices)
    sampler.hold_out([2, 0])
    batches = list(sampler)
    assert {int(PATIENTS[query]) for query in chain(*batches)} == {1, 3, 4}
    assert {len(batch) for batch in batches} == {24}  # cluster 3 has patient 2 alone: another is taken twice
    sampler.hold_out([])
    sampler.epoch = 0
    assert list(sampler) == before


def test_somebody_must_be_left():
    with pytest.raises(SemclError, match="all of patients that are held out"):
        ClusterSampler(CLUSTERS, PATIENTS, 4, 6, 10).hold_out(range(5))


def test_a_fixed_sampler_gives_the_same_batches_every_time_and_another_one_others():
    fixed, usual = (ClusterSampler(CLUSTERS, PATIENTS, 3, 2, 4, seed=1, fixed=fixed) for fixed in (True, False))
    first = list(fixed)
    assert first == list(usual) == list(fixed)
    assert list(usual) != first
