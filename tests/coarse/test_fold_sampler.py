"""The order of training cases while a fold is held out."""

import pytest

from scripts.coarse.fold_sampler import FoldSampler, HeldOutSampler

FOLDS = [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_fold_held_out_is_never_sampled(fold):
    sampler = FoldSampler(FOLDS, 20)
    sampler.hold_out(fold)
    sampled = [index for _ in range(5) for index in sampler]
    assert {FOLDS[index] for index in sampled} == {0, 1, 2} - {fold}


def test_without_a_fold_held_out_all_cases_are_sampled():
    assert set(FoldSampler(FOLDS, 7)) == set(range(7))


@pytest.mark.parametrize("length", [1, 4, 5, 24])
@pytest.mark.parametrize("fold", [None, 0, 1])
def test_an_epoch_is_as_long_as_asked_and_samples_all_cases_equally_often(length, fold):
    sampler = FoldSampler(FOLDS, length)
    sampler.hold_out(fold)
    sampled = list(sampler)
    assert len(sampled) == len(sampler) == length
    used = [index for index, its_fold in enumerate(FOLDS) if its_fold != fold]
    counts = [sampled.count(index) for index in used]
    assert sum(counts) == length
    assert max(counts) - min(counts) <= 1


def test_the_order_is_that_of_the_seed_and_the_epoch():
    one, same, other = FoldSampler(FOLDS, 14, seed=1), FoldSampler(FOLDS, 14, seed=1), FoldSampler(FOLDS, 14, seed=2)
    epochs = [list(one) for _ in range(3)]
    assert [list(same) for _ in range(3)] == epochs
    assert epochs[0] != epochs[1] != epochs[2]
    assert list(other) != epochs[0]


def test_holding_out_counts_epochs_anew():
    sampler = FoldSampler(FOLDS, 14)
    sampler.hold_out(1)
    epochs = [list(sampler) for _ in range(2)]
    sampler.hold_out(0)
    assert list(sampler) != epochs[0]
    sampler.hold_out(1)
    assert [list(sampler) for _ in range(2)] == epochs


@pytest.mark.parametrize(("fold", "expected"), [(0, [0, 3]), (1, [1, 4]), (None, [0, 1])])
def test_the_first_cases_of_the_fold_held_out_validate(fold, expected):
    training = FoldSampler(FOLDS, 7)
    training.hold_out(fold)
    sampler = HeldOutSampler(training, 2)
    assert (list(sampler), len(sampler)) == (expected, 2)
