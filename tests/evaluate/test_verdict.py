"""Verdicts by an interval and a region of equivalence."""

import pytest

from scripts.evaluate.verdict import verdict


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.011, 0.05, "better"),
        (0.001, 0.05, "better, perhaps by less than 0.01"),
        (-0.05, -0.011, "worse"),
        (-0.05, -0.001, "worse, perhaps by less than 0.01"),
        (0.001, 0.009, "equivalent (within 0.01)"),
        (-0.01, 0.01, "equivalent (within 0.01)"),
        (-0.004, 0.02, "undecided (between -0.004 and +0.020)"),
        (0.0, 0.0, "no difference"),
    ],
)
def test_by_the_interval(low, high, words):
    assert verdict(low, high) == words


def test_the_range_is_said_where_the_correction_takes_a_difference_away():
    assert verdict(0.011, 0.05, significant=False) == "undecided after correction (between +0.011 and +0.050)"
    assert verdict(-0.004, 0.002, significant=False) == "equivalent (within 0.01)"


def test_smaller_may_be_better_and_there_may_be_no_region():
    assert verdict(-3, -1, equivalence=0, sign=-1) == "better"
    assert verdict(1, 3, equivalence=0, sign=-1) == "worse"
    assert verdict(-0.001, 0.001, equivalence=0) == "undecided (between -0.001 and +0.001)"
