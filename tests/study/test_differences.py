"""Differences between strategies, over seeds and patients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from scripts.evaluate.statistics import ALL, holm, signed_rank
from scripts.study.differences import Difference, Values, compare_organ, compare_strategies, crossed_t_test

SHAPES = [(2, 2), (2, 9), (3, 5), (3, 40), (5, 12), (7, 3)]


def draw(shape: tuple[int, int], rng: np.random.Generator, seeds: float = 1, patients: float = 1) -> Values:
    """Differences without a true one, by effects of seeds, of patients, and of both together (SD 1/2)."""
    return (
        seeds * rng.standard_normal((shape[0], 1))
        + patients * rng.standard_normal(shape[1])
        + 0.5 * rng.standard_normal(shape)
    )


def by_loops(paired: Values) -> tuple[float, float, float]:
    """The interval and p as the docstring has them, one number at a time."""
    rows = paired.tolist()
    seeds, patients = len(rows), len(rows[0])
    total = sum(sum(row) for row in rows) / (seeds * patients)
    of_seed = [sum(row) / patients for row in rows]
    of_patient = [sum(row[number] for row in rows) / seeds for number in range(patients)]
    seed_square = sum(patients * (mean - total) ** 2 for mean in of_seed) / (seeds - 1)
    patient_square = sum(seeds * (mean - total) ** 2 for mean in of_patient) / (patients - 1)
    rest_square = sum(
        (rows[s][p] - of_seed[s] - of_patient[p] + total) ** 2 for s in range(seeds) for p in range(patients)
    ) / ((seeds - 1) * (patients - 1))
    if patient_square > rest_square:
        excess = patient_square - rest_square
        square = seed_square + excess
        degrees = square**2 / (seed_square**2 / (seeds - 1) + excess**2 / (patients - 1))
    else:
        square, degrees = seed_square, seeds - 1
    error = math.sqrt(square / (seeds * patients))
    reach = stats.t(degrees).ppf(0.975) * error
    return total - reach, total + reach, 2 * stats.t(degrees).sf(abs(total) / error)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("patients", [0, 1])
def test_interval_and_p_are_those_of_the_loops(shape, patients):
    rng = np.random.default_rng(0)
    for _ in range(20):
        paired = draw(shape, rng, patients=patients) + 0.3
        assert crossed_t_test(paired) == pytest.approx(by_loops(paired), rel=1e-9)


def test_seeds_that_are_all_alike_leave_the_t_test_over_patients():
    of_patients = np.random.default_rng(1).normal(0.5, 1, 9)
    test = stats.ttest_1samp(of_patients, 0)
    expected = (*test.confidence_interval(0.95), test.pvalue)
    assert crossed_t_test(np.tile(of_patients, (3, 1))) == pytest.approx(expected, rel=1e-9)


def test_patients_that_are_all_alike_leave_the_t_test_over_seeds():
    of_seeds = np.random.default_rng(2).normal(0.5, 1, 4)
    test = stats.ttest_1samp(of_seeds, 0)
    expected = (*test.confidence_interval(0.95), test.pvalue)
    assert crossed_t_test(np.tile(of_seeds[:, None], (1, 11))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_strategies_mirrors_the_interval_and_leaves_p(shape):
    first, second = (draw(shape, np.random.default_rng(seed)) for seed in (3, 4))
    there, back = compare_organ(first, second, ("a", "b"), "liver"), compare_organ(second, first, ("b", "a"), "liver")
    assert back.difference == -there.difference
    assert (back.low, back.high) == (-there.high, -there.low)
    assert (back.p, back.runs) == (there.p, there.runs)
    assert there.low < there.difference < there.high


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0, 0.01, 1])
def test_the_interval_is_never_wider_than_that_of_the_fewest_degrees_of_freedom(shape, scale):
    """Where patients differ no more than their interaction with seeds does, mean squares nearly cancel."""
    rng, farthest = np.random.default_rng(14), stats.t(min(shape) - 1).ppf(0.975)
    for _ in range(300):
        paired = draw(shape, rng, seeds=scale, patients=0.2)
        low, high, _ = crossed_t_test(paired)
        error = np.sqrt(paired.mean(1).var(ddof=1) / shape[0] + paired.mean(0).var(ddof=1) / shape[1])
        assert (high - low) / 2 <= farthest * error * (1 + 1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0, 0.1, 1e3, 1e9])
def test_p_is_above_0_and_at_most_1(shape, shift):
    rng = np.random.default_rng(5)
    assert all(0 < crossed_t_test(draw(shape, rng) + shift)[2] <= 1 for _ in range(50))


def test_p_is_below_the_level_exactly_where_the_interval_leaves_0_out():
    rng = np.random.default_rng(6)
    found = [crossed_t_test(draw((3, 8), rng) + 0.8) for _ in range(200)]
    out = [low > 0 or high < 0 for low, high, _ in found]
    assert out == [p < 0.05 for _, _, p in found]
    assert 20 < sum(out) < 180


@pytest.mark.parametrize("shape", [(1, 12), (3, 1), (1, 1)])
def test_one_seed_or_one_patient_has_no_interval_and_no_p(shape):
    values = np.random.default_rng(7).random((2, *shape))
    line = compare_organ(values[0], values[1], ("a", "b"), "liver")
    assert (line.low, line.high, line.p) == (None, None, None)
    assert len(line.runs) == shape[0]
    assert ("one seed" if shape[0] == 1 else "one patient") in line.verdict


def test_strategies_that_do_not_differ_at_all():
    same = np.random.default_rng(8).random((3, 5))
    line = compare_organ(same, same, ("a", "b"), "liver")
    assert (line.difference, line.low, line.high, line.p) == (0, 0, 0, 1)
    assert line.runs == (None, None, None)
    assert line.verdict == "cannot be told from chance"


def test_the_same_difference_everywhere_is_no_chance():
    line = compare_organ(np.zeros((2, 4)), np.full((2, 4), 0.25), ("a", "b"), "liver")
    assert (line.low, line.high) == (0.25, 0.25)
    assert 0 < line.p < 1e-300


def test_runs_are_wilcoxon_s_test_of_each_seed():
    first, second = (draw((3, 10), np.random.default_rng(seed)) for seed in (9, 10))
    line = compare_organ(first, second, ("a", "b"), "liver")
    assert line.runs == tuple(signed_rank(second[seed] - first[seed]) for seed in range(3))


@pytest.mark.parametrize(
    ("p", "p_holm", "change", "verdict"),
    [
        (0.01, None, 0.1, "better, beyond seeds and patients"),
        (0.01, None, -0.1, "worse, beyond seeds and patients"),
        (0.01, 0.2, 0.1, "cannot be told from chance"),
        (0.06, None, 0.1, "cannot be told from chance"),
    ],
)
def test_the_verdict_goes_by_the_corrected_p(p, p_holm, change, verdict):
    assert Difference("a", "b", "liver", change, 0, 0, p, p_holm, (0.5,), 3, 9).verdict == verdict


def test_organs_are_corrected_together_and_all_organs_not():
    rng, organs = np.random.default_rng(11), ("liver", "spleen", "aorta", "duct")
    values = {organ: {"a": draw((3, 7), rng), "b": draw((3, 7), rng) + 1} for organ in (ALL, *organs)}
    values["duct"] = {name: value[:, :1] for name, value in values["duct"].items()}  # one patient has it
    lines = compare_strategies(values, "a", "b", organs)
    assert [line.organ for line in lines] == [ALL, *organs]
    assert lines[0].p_holm is None
    alone = [crossed_t_test(values[organ]["b"] - values[organ]["a"])[2] for organ in organs[:3]]
    assert [line.p for line in lines[1:]] == [*alone, None]
    assert [line.p_holm for line in lines[1:]] == [*holm([*alone, 1.0])[:3], None]


# how often it errs


@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "skewed"])
@pytest.mark.parametrize("patients", [12, 40])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_chance_is_called_a_difference_about_as_often_as_it_says(seeds, patients, heavy):
    """No strategy is better; seeds differ as much as patients do, which Wilcoxon's test run by run does not see."""
    rng, count = np.random.default_rng(12), 1000
    wrong, wrong_by_run = 0, 0.0
    for _ in range(count):
        paired = draw((seeds, patients), rng, patients=0 if heavy else 1)
        if heavy:
            paired = paired + rng.exponential(size=patients) - 1
        wrong += crossed_t_test(paired)[2] < 0.05
        wrong_by_run += signed_rank(paired[0]) < 0.05
    print(f"{seeds} seeds, {patients} patients: {wrong / count:.1%} wrong, by run {wrong_by_run / count:.1%}")
    assert 0.02 < wrong / count < (0.15 if seeds == 2 else 0.12)
    assert wrong_by_run / count > 0.25


@pytest.mark.parametrize("seeds", [3, 5])
def test_without_effects_of_seeds_it_is_not_blind(seeds):
    """A true difference of one SD over patients, 12 patients."""
    rng = np.random.default_rng(13)
    seen = sum(crossed_t_test(draw((seeds, 12), rng, seeds=0) + 1)[2] < 0.05 for _ in range(300))
    assert seen / 300 > 0.7
