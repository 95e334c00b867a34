"""Contrasts: one arm against another, and against the best of several."""

import numpy as np
import pytest

from scripts.study.contrasts import Assessment, Contrast, assess
from scripts.study.crossed import Values, estimate

from .test_crossed import draw

ARMS, FAMILIES = ("a", "b", "c", "d"), ("",) * 4
ONE, BEST = Contrast("a", ("b",)), Contrast("a", ("b", "c", "d"))


def found(values: Values, contrast: Contrast) -> Assessment:
    return assess(values, ARMS, FAMILIES, contrast, 0.01)


def test_names():
    assert (ONE.name, BEST.name) == ("a - b", "a - best(b, c, d)")
    assert [Contrast.named(one.name) for one in (ONE, BEST)] == [ONE, BEST]
    assert (ONE.against("b"), BEST.against("c")) == ("b", "c, the best of 3")


def test_what_could_be_detected_is_found_four_times_in_five_though_several_are_tested():
    """With the smallest p of four tests, and no other one found, Holm asks for a quarter of 5 %."""
    rng, seen, tests = np.random.default_rng(9), [], 4
    values = draw(rng, 1500, 4, 5, 22)
    detectable = np.mean([assess(one, ARMS, FAMILIES, ONE, 0.01, tests).detectable for one in values[:200]])
    for one in values:
        one[0] += detectable
        seen.append(assess(one, ARMS, FAMILIES, ONE, 0.01, tests).p < 0.05 / tests)
    assert 0.76 < np.mean(seen) < 0.84
    each = [assess(values[0], ARMS, FAMILIES, Contrast("a", (other,)), 0.01).detectable for other in "bcd"]
    assert assess(values[0], ARMS, FAMILIES, BEST, 0.01).detectable == max(each)


def test_one_against_one_is_its_estimate():
    values = draw(np.random.default_rng(0), 1, 4, 3, 8)[0]
    one, same = found(values, ONE), estimate(values, [1, -1, 0, 0])
    assert (one.against, one.difference) == ("b", float(same.difference))
    assert (one.low + one.high) / 2 == pytest.approx(one.difference)
    assert one.p == pytest.approx(2 * min(float(same.below(0)), float(same.above(0))))
    assert one.better + one.worse + one.equivalent == pytest.approx(1)
    assert (one.better, one.worse) == (float(same.above(0.01)), float(same.below(-0.01)))


def test_p_against_the_best_is_the_largest_and_the_difference_the_smallest():
    values = draw(np.random.default_rng(1), 1, 4, 5, 30)[0]
    values[0] += 0.05
    each = [found(values, Contrast("a", (other,))) for other in "bcd"]
    best = found(values, BEST)
    assert best.p == max(one.p for one in each)
    assert best.difference == min(one.difference for one in each)
    assert best.low == min(one.low for one in each)
    assert best.better == min(one.better for one in each)
    assert best.against == min(each, key=lambda one: one.difference).against


def test_p_of_the_opposite_contrast_is_the_same():
    values = draw(np.random.default_rng(2), 1, 4, 3, 8)[0]
    there, back = found(values, ONE), found(values, Contrast("b", ("a",)))
    assert (back.difference, back.low, back.high) == pytest.approx((-there.difference, -there.high, -there.low))
    assert back.p == pytest.approx(there.p)


@pytest.mark.parametrize(
    ("others", "most"), [((0.0, 0.0, 0.0), 0.05), ((0.0, -1.0, -1.0), 0.05), ((0.0, 0.0, -1.0), 0.05)]
)
def test_against_the_best_it_errs_at_most_as_often_as_it_says(others, most):
    """The arm equals the best; p below 5 %, and an interval without 0, either way."""
    rng, wrong, count = np.random.default_rng(3), [], 1500
    for values in draw(rng, count, 4, 3, 22):
        values[1:] += np.array(others)[:, None, None]
        best = found(values, BEST)
        assert (best.p < 0.05) == (best.low > 0 or best.high < 0)
        wrong.append(best.p < 0.05)
    print(f"a - best(b, c, d) where the others are {others}: {np.mean(wrong):.1%} of p < 0.05")
    assert np.mean(wrong) < most + 0.012


def test_against_the_best_it_finds_a_difference():
    rng, better, worse = np.random.default_rng(4), [], []
    for values in draw(rng, 200, 4, 5, 22):
        values[0] += 0.04
        better.append(found(values, BEST).low > 0)
        values[0] -= 0.08
        worse.append(found(values, BEST).high < 0)
    assert (np.mean(better), np.mean(worse)) == (pytest.approx(0.95, abs=0.06), pytest.approx(0.95, abs=0.06))
