"""Ranks of arms and their stability."""

import numpy as np
import pytest

from scripts.study.ranking import ranks

from .test_crossed import draw


def test_arms_far_apart_keep_their_ranks():
    values = draw(np.random.default_rng(0), 1, 3, 3, 10)[0] + np.array([0.0, 2.0, 1.0])[:, None, None]
    found = ranks(values, ("a", "b", "c"), resamples=100)
    assert [(one.arm, one.rank, one.mean, one.low, one.high) for one in found] == [
        ("b", 1, 1, 1, 1),
        ("c", 2, 2, 2, 2),
        ("a", 3, 3, 3, 3),
    ]
    assert [one.shares for one in found] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_equal_arms_are_first_about_equally_often():
    shares = np.zeros((4, 4))
    for number, values in enumerate(draw(np.random.default_rng(1), 100, 4, 3, 20)):
        found = {one.arm: one for one in ranks(values, "abcd", resamples=200)}
        shares += [found[arm].shares for arm in "abcd"]
        assert sum(sum(one.shares) for one in found.values()) == pytest.approx(4), number
    assert shares / 100 == pytest.approx(np.full((4, 4), 0.25), abs=0.12)


def test_ties_share_the_better_rank():
    values = np.tile(draw(np.random.default_rng(2), 1, 1, 2, 7)[0], (2, 1, 1))
    assert [(one.rank, one.shares) for one in ranks(values, "ab", resamples=50)] == [(1, (1, 0)), (1, (1, 0))]


def test_resamples_are_those_of_loops():
    """Means over drawn seeds and patients, drawn by their numbers: the same distribution of ranks."""
    values, rng = draw(np.random.default_rng(3), 1, 3, 3, 9)[0], np.random.default_rng(4)
    first = np.zeros(3)
    for _ in range(4000):
        drawn = values[:, rng.integers(0, 3, 3)][:, :, rng.integers(0, 9, 9)].mean((1, 2))
        first[drawn.argmax()] += 1 / 4000
    found = {one.arm: one.shares[0] for one in ranks(values, "abc", resamples=4000)}
    assert [found[arm] for arm in "abc"] == pytest.approx(first.tolist(), abs=0.04)
