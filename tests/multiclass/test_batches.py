"""The order of training."""

from collections import Counter

import pytest

from scripts import ranks
from scripts.errors import SemclError
from scripts.multiclass.batches import Batches


def test_an_epoch_passes_over_all_cases():
    batches = list(Batches(6, 4, 3))
    assert [len(batch) for batch in batches] == [4, 4, 4]
    assert Counter(case for batch in batches for case in batch) == dict.fromkeys(range(6), 2)


def test_others_follow_and_change_nothing_else():
    plain, both = list(Batches(6, 4, 3, seed=1)), list(Batches(6, 4, 3, seed=1, others=5, others_per_batch=2))
    assert [batch[:4] for batch in both] == plain
    assert {case for batch in both for case in batch[4:]} <= set(range(6, 11))
    assert [len(batch) for batch in both] == [6, 6, 6]


def test_pseudo_labelled_scans_make_up_their_share_of_every_batch():
    batches = list(Batches(11, 4, 6, seed=1, pseudo=9, others=5, others_per_batch=1))
    for batch in batches:
        assert [case < 2 for case in batch[:4]] == [True, True, False, False]
        assert all(2 <= case < 11 for case in batch[2:4])
        assert 11 <= batch[4] < 16
    assert len({case for batch in batches for case in batch[2:4]}) == 9
    fewer = list(Batches(11, 4, 6, pseudo=9, pseudo_share=0.25))
    assert all([case < 2 for case in batch] == [True, True, True, False] for batch in fewer)


@pytest.mark.parametrize("given", [{"batch_size": 1}, {"pseudo_share": 1.0}, {"pseudo_share": 0.0}, {"first": 9}])
def test_batches_that_hold_one_kind_of_labels_alone_are_refused(given):
    with pytest.raises(SemclError, match=r"(?s)labelled and pseudo-labelled.*batch_size .*pseudo_share "):
        Batches(**({"first": 11, "batch_size": 4, "batches": 1, "pseudo": 9} | given))


def test_the_order_is_of_the_seed_and_the_epoch():
    sampler = Batches(20, 4, 5, seed=1)
    first, second = list(sampler), list(sampler)
    assert first != second
    sampler.epoch = 1
    assert list(sampler) == second
    assert list(Batches(20, 4, 5, seed=2)) != first


def test_ranks_share_every_batch(monkeypatch):
    whole = list(Batches(6, 4, 3, others=5, others_per_batch=2))
    parts = []
    monkeypatch.setattr(ranks, "count", lambda: 2)
    for number in range(2):
        monkeypatch.setattr(ranks, "number", lambda number=number: number)
        parts.append(list(Batches(6, 4, 3, others=5, others_per_batch=2)))
    for batch, one, other in zip(whole, *parts, strict=True):
        assert len(one) == len(other)
        assert sorted(batch) == sorted(one + other)


@pytest.mark.parametrize("given", [(0, 2, 1), (2, 2, 1, 0, 0, 1)])
def test_an_empty_batch_is_refused(given):
    with pytest.raises(SemclError, match="must hold something"):
        Batches(*given)
