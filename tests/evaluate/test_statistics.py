"""Statistics: both tests against enumeration of signs, effect by hand, verdicts in words."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from scripts.evaluate.metrics import BY_NAME
from scripts.evaluate.rows import Row
from scripts.evaluate.statistics import (
    MANY,
    Comparison,
    compare_methods,
    interval,
    paired,
    patient_means,
    rank_biserial,
    sign_flip,
    signed_rank,
)
from scripts.evaluate.step_down import max_t
from scripts.evaluate.summary import Summary
from tests.evaluate.made import rows_of

DICE, HD95 = BY_NAME["dice"], BY_NAME["hd95"]
METHODS = ("coarse", "refined")


def compared(pairs: Sequence[tuple[float, float]]) -> Comparison:
    """The line over all organs."""
    return compare_methods(rows_of("liver", pairs), "coarse", "refined", ["liver"], DICE)[0]


def over_all_signs(differences: Sequence[float]) -> float:
    """Share of the 2^n signs whose smaller rank sum is as small as the one found; Wilcoxon's test as it is defined."""
    sizes = [abs(value) for value in differences if value != 0]
    found = [value > 0 for value in differences if value != 0]
    ranks = [sum(other < size for other in sizes) + (sizes.count(size) + 1) / 2 for size in sizes]

    def smaller(signs: Sequence[bool]) -> float:
        up = sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        return min(up, sum(ranks) - up)

    flips = list(itertools.product([False, True], repeat=len(sizes)))
    return sum(smaller(signs) <= smaller(found) for signs in flips) / len(flips)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("patients", range(3, 9))
def test_p_is_the_share_of_signs_as_extreme(patients: int, seed: int) -> None:
    differences = np.random.default_rng([patients, seed]).normal(0.5, 1, patients)
    assert signed_rank(differences) == pytest.approx(over_all_signs(differences.tolist()), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("patients", range(3, 9))
def test_p_is_exact_with_ties(patients: int, seed: int) -> None:
    rng = np.random.default_rng([patients, seed])
    differences = rng.choice([0.25, 0.5], patients) * rng.choice([-1, 1, 1], patients)
    assert len(set(np.abs(differences))) < patients
    assert signed_rank(differences) == pytest.approx(over_all_signs(differences.tolist()), abs=1e-12)


@pytest.mark.parametrize("patients", range(1, 11))
def test_p_of_patients_who_all_gain_is_the_smallest(patients: int) -> None:
    assert signed_rank(np.arange(1.0, patients + 1)) == pytest.approx(2.0 ** (1 - patients), abs=1e-15)


def test_patients_without_a_difference_are_left_out() -> None:
    moved = np.array([0.3, -0.1, 0.2, 0.4, 0.25])
    with_zeros = np.insert(moved, [0, 2, 5], 0.0)
    assert signed_rank(with_zeros) == signed_rank(moved) == pytest.approx(over_all_signs(with_zeros.tolist()))


def test_p_stays_exact_when_few_of_many_patients_differ() -> None:
    moved = np.array([0.25, -0.25, 0.25, 0.5, 0.5, -0.25, 0.5, 0.25])
    with_zeros = np.concatenate([moved, np.zeros(12)])
    assert signed_rank(with_zeros) == pytest.approx(over_all_signs(moved.tolist()), abs=1e-12)


def test_p_of_one_patient_who_differs_is_1() -> None:
    assert signed_rank(np.array([0.0, 0.2, 0.0])) == 1.0


@pytest.mark.parametrize("patients", [0, 1, 6])
def test_no_difference_at_all_has_no_p(patients: int) -> None:
    assert signed_rank(np.zeros(patients)) is None


@pytest.mark.parametrize("patients", [13, 30, 50])
def test_p_of_more_patients_is_scipy_s_exact_one(patients: int) -> None:
    differences = np.random.default_rng(patients).normal(0.3, 1, patients)
    assert signed_rank(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=1e-9)


def test_p_of_30_patients_with_ties_is_that_of_signs_drawn_at_random() -> None:
    differences = np.random.default_rng(30).normal(0.3, 1, 30)
    differences = np.where(np.abs(differences) < 0.5, 0.5 * np.sign(differences), differences)
    ranks = stats.rankdata(np.abs(differences))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (200_000, 30))
    share = (np.abs(signs @ ranks) >= abs((np.sign(differences) * ranks).sum())).mean()
    assert signed_rank(differences) == pytest.approx(share, abs=5 * np.sqrt(share / 200_000))


def test_p_of_very_many_patients_is_the_normal_approximation() -> None:
    differences = np.random.default_rng(60).normal(0.2, 1, MANY + 1)
    count = MANY + 1
    up = sum(rank for rank, value in zip(stats.rankdata(np.abs(differences)), differences, strict=True) if value > 0)
    deviation = (up - count * (count + 1) / 4) / np.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    assert signed_rank(differences) == pytest.approx(2 * stats.norm.sf(abs(deviation)), rel=1e-9)
    exact = stats.wilcoxon(differences[:MANY], method="exact").pvalue  # the last number for which it is
    assert signed_rank(differences[:MANY]) == pytest.approx(exact, rel=1e-9)
    assert exact != pytest.approx(stats.wilcoxon(differences[:MANY], method="approx").pvalue, rel=0.01)


def means_over_all_signs(differences: Sequence[float]) -> float:
    """Share of the 2^n signs whose mean is as far from 0 as the one found."""
    sizes = [abs(value) for value in differences if value != 0]
    found = abs(sum(differences))
    flips = list(itertools.product([-1, 1], repeat=len(sizes)))
    sums = [abs(sum(sign * size for sign, size in zip(flip, sizes, strict=True))) for flip in flips]
    return sum(value >= found - 1e-12 for value in sums) / len(flips)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("patients", [2, 3, 5, 8, 10])
def test_p_of_the_mean_is_the_share_of_signs_as_extreme(patients: int, seed: int) -> None:
    differences = np.random.default_rng([patients, seed]).normal(0.4, 1, patients)
    assert sign_flip(differences) == pytest.approx(means_over_all_signs(differences.tolist()), abs=1e-12)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        pytest.param([0.5, 0.5], 0.5, id="both up"),
        pytest.param([0.5, -0.5], 1, id="they cancel"),
        pytest.param([1, 2, 3], 0.25, id="three up"),
        pytest.param([3, -1, -1], 1, id="signs of 1 and 5: at least 1 always"),
        pytest.param([4, 2, -1], 0.5, id="5 or 7 of 1, 3, 5, 7"),
        pytest.param([4, 2, -1, 0, 0], 0.5, id="those who do not differ are left out"),
        pytest.param([0, 0.2, 0], 1, id="one alone differs"),
        pytest.param([-0.2], 1, id="one alone"),
    ],
)
def test_p_of_the_mean_worked_by_hand(differences: list[float], p: float) -> None:
    assert sign_flip(np.array(differences, float)) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize("patients", [0, 1, 6])
def test_no_difference_at_all_has_no_p_of_the_mean(patients: int) -> None:
    assert sign_flip(np.zeros(patients)) is None


def test_p_of_the_mean_of_many_patients_is_drawn_the_same_each_time() -> None:
    differences = np.random.default_rng(1).normal(0.5, 1, 40)
    p = sign_flip(differences)
    assert p == sign_flip(differences)
    statistic = differences.mean() / np.sqrt((differences**2).mean() / 40)
    assert p == pytest.approx(2 * stats.norm.sf(abs(statistic)), rel=0.5)
    assert sign_flip(np.full(40, 0.5)) == pytest.approx(2 / 10_000)  # never 0


@pytest.mark.parametrize(
    ("differences", "effect"),
    [
        pytest.param([], 0, id="nobody"),
        pytest.param([0, 0], 0, id="none differs"),
        pytest.param([0.1, 0.5, 0.2], 1, id="all up"),
        pytest.param([-0.1, -0.5, 0], -1, id="all down"),
        pytest.param([0.3, -0.1, 0.2], (3 - 1 + 2) / 6, id="ranks 3 and 2 up, 1 down"),
        pytest.param([-0.9, 0.1, 0.2, 0.3], (-4 + 1 + 2 + 3) / 10, id="one large down"),
        pytest.param([0.2, -0.2, 0.2, 0.5], (2 - 2 + 2 + 4) / 10, id="ties share their ranks"),
        pytest.param([0.3, 0, -0.1, 0.2], (3 - 1 + 2) / 6, id="zeros have no rank"),
    ],
)
def test_the_effect_worked_by_hand(differences: list[float], effect: float) -> None:
    assert rank_biserial(np.array(differences, float)) == pytest.approx(effect, abs=1e-12)


def test_scans_of_one_patient_are_averaged_first() -> None:
    rows = [
        Row("a1", "ann", "liver", "portal", "coarse", "dice", 0.2),
        Row("a2", "ann", "liver", "noncontrast", "coarse", "dice", 0.4),
        Row("a1", "ann", "liver", "portal", "refined", "dice", 0.5),
        Row("a2", "ann", "liver", "noncontrast", "refined", "dice", 0.9),
        Row("b1", "bob", "liver", "portal", "coarse", "dice", 0.9),
        Row("b1", "bob", "liver", "portal", "refined", "dice", 0.8),
    ]
    np.testing.assert_allclose(paired(rows, "coarse", "refined"), [[0.3, 0.7], [0.9, 0.8]])
    line = compare_methods(rows, "coarse", "refined", ["liver"], DICE)[0]
    assert (line.cases, line.patients) == (3, 2)
    assert (line.first, line.second, line.difference) == pytest.approx((0.6, 0.75, 0.15))


def test_the_organs_of_one_patient_are_averaged_for_all_organs() -> None:
    rows = rows_of("liver", [(0.2, 0.4), (0.1, 0.3), (0.5, 0.6)]) + rows_of("spleen", [(0.6, 1.0), (0.3, 0.2)])
    np.testing.assert_allclose(paired(rows, "coarse", "refined"), [[0.4, 0.7], [0.2, 0.25], [0.5, 0.6]])
    lines = compare_methods(rows, "coarse", "refined", ["liver", "spleen"], DICE)
    assert [(line.organ, line.patients) for line in lines] == [("all organs", 3), ("liver", 3), ("spleen", 2)]
    assert (lines[0].first, lines[0].second) == pytest.approx((1.1 / 3, 1.55 / 3))


def test_an_organ_counts_once_however_many_scans_of_a_patient_have_it() -> None:
    """Three scans, of which one has a spleen: the four values' mean would be +0.0125."""
    found = [("a1", "liver", 0.05), ("a2", "liver", 0.05), ("a3", "liver", 0.05), ("a1", "spleen", -0.10)]
    rows = [
        Row(case, "ann", organ, "portal", method, "dice", value)
        for case, organ, gain in found
        for method, value in (("coarse", 0.5), ("refined", 0.5 + gain))
    ]
    line = compare_methods(rows, "coarse", "refined", ["liver", "spleen"], DICE)[0]
    assert line.difference == pytest.approx(-0.025)
    values = {method: Summary(rows, (method,), ("liver", "spleen"), ()).values(DICE, method) for method in METHODS}
    assert values["refined"] - values["coarse"] == pytest.approx([-0.025])


def test_patients_come_in_the_order_of_the_rows_and_values_may_be_arrays() -> None:
    measured = [("bob", "x", np.array([1.0, 2.0])), ("ann", "x", np.array([0.5, 0.5])), ("bob", "x", np.zeros(2))]
    assert {patient: mean.tolist() for patient, mean in patient_means(measured).items()} == {
        "bob": [0.5, 1.0],
        "ann": [0.5, 0.5],
    }


def test_what_only_one_method_has_measured_is_not_paired() -> None:
    rows = rows_of("liver", [(0.2, 0.4), (0.5, 0.6)])[:-1]
    np.testing.assert_allclose(paired(rows, "coarse", "refined"), [[0.2, 0.4]])
    assert paired(rows[:1], "coarse", "refined").shape == (0, 2)
    assert paired([], "coarse", "refined").shape == (0, 2)


@pytest.mark.parametrize("patients", [2, 5, 40])
def test_the_interval_is_the_one_of_the_t_test(patients: int) -> None:
    differences = np.random.default_rng(patients).normal(0.1, 0.3, patients)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert interval(differences) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("patients", [3, 5, 9, 22])
def test_intervals_cover_the_mean_as_often_as_they_say(patients: int) -> None:
    """And those of a percentile bootstrap do not; 20,000 and 1,000 simulated studies."""
    rng = np.random.default_rng(20)
    covered, by_bootstrap, skewed = [], [], []
    for number in range(20_000):
        low, high = interval(rng.standard_normal(patients))
        covered.append(low < 0 < high)
        low, high = interval(rng.exponential(size=patients))
        skewed.append(low < 1 < high)
        if number < 1000:
            drawn = rng.standard_normal(patients)
            low, high = np.quantile(rng.choice(drawn, (1000, patients)).mean(1), (0.025, 0.975))
            by_bootstrap.append(low < 0 < high)
    print(
        f"{patients} patients: t {np.mean(covered):.1%}, bootstrap {np.mean(by_bootstrap):.1%}; "
        f"t of exponential differences {np.mean(skewed):.1%}"
    )
    assert 0.94 < np.mean(covered) < 0.96
    assert np.mean(by_bootstrap) < {3: 0.82, 5: 0.87, 9: 0.93, 22: 0.95}[patients]


def test_one_patient_has_no_interval_and_decides_nothing() -> None:
    assert interval(np.array([0.1])) == (None, None)
    assert [
        line.verdict for line in compare_methods(rows_of("liver", [(0.5, 0.9)]), "coarse", "refined", ["liver"], DICE)
    ] == ["undecided (one patient: variation between patients unknown)"] * 2


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        pytest.param([0.1, 0.2, 0.15, 0.3, 0.25, 0.05], "better", id="six gain"),
        pytest.param([-0.1, -0.2, -0.15, -0.3, -0.25, -0.05], "worse", id="six lose"),
        pytest.param([0.03, 0.02, 0.01, 0.02, 0.01], "better, perhaps by less than 0.01", id="some gain little"),
        pytest.param([0.1, -0.2, 0.15, -0.3, 0.25, -0.05], "undecided (between -0.232 and +0.215)", id="both ways"),
        pytest.param([0.004, 0.002, 0.006, -0.001, 0.003], "equivalent (within 0.01)", id="next to nothing"),
        pytest.param([0.0] * 6, "no difference", id="none moves"),
    ],
)
def test_the_verdict_goes_by_the_interval(gains: list[float], verdict: str) -> None:
    line = compared([(0.5, 0.5 + gain) for gain in gains])
    assert line.verdict == verdict
    assert line.difference == pytest.approx(sum(gains) / len(gains))


@pytest.mark.parametrize(
    ("change", "verdict", "better"),
    [
        pytest.param(-3.0, "better", True, id="nearer"),
        pytest.param(3.0, "worse", False, id="farther"),
    ],
)
def test_of_a_distance_less_is_better(change: float, verdict: str, better: bool) -> None:
    values = [(10.0 + number, 10.0 + number + change * (1 + number / 9)) for number in range(6)]
    line = compare_methods(rows_of("liver", values, metric="hd95"), "coarse", "refined", ["liver"], HD95)[0]
    assert (line.metric, line.verdict, line.better) == ("hd95", verdict, better)
    assert line.effect == np.sign(change)
    assert line.difference == pytest.approx(change * 23 / 18)


def test_a_line_holds_both_p_and_the_effect() -> None:
    gains = [0.1, 0.2, -0.05, 0.3, 0.25]
    line = compared([(0.5, 0.5 + gain) for gain in gains])
    assert line.p == pytest.approx(over_all_signs(gains))
    assert line.p_permutation == pytest.approx(means_over_all_signs(gains))
    assert line.effect == pytest.approx((15 - 2) / 15)
    assert line.better


def test_the_verdict_on_an_organ_is_on_its_corrected_p_too() -> None:
    gains = [0.1, 0.2, 0.15, 0.3, 0.02, -0.01]
    rows = rows_of("liver", [(0.5, 0.5 + gain) for gain in gains]) + rows_of("spleen", [(0.5, 0.6)] * 6)
    overall, liver, spleen = compare_methods(rows, "coarse", "refined", ["liver", "spleen"], DICE)
    assert overall.p_corrected is None
    assert (liver.p_permutation, spleen.p_corrected) == (2**-4, 2**-5)
    assert liver.p_corrected == 2**-4
    assert liver.low > 0
    assert liver.verdict == f"undecided after correction (between {liver.low:+.3f} and {liver.high:+.3f})"
    assert spleen.verdict == "better"


def test_organs_are_corrected_together_by_max_t() -> None:
    rng = np.random.default_rng(8)
    found = {organ: rng.normal(0.1, 0.1, 7) for organ in ("liver", "spleen", "aorta")}
    rows = [row for organ, gains in found.items() for row in rows_of(organ, [(0.5, 0.5 + gain) for gain in gains])]
    rows = [row for row in rows if (row.patient, row.organ) != ("patient3", "aorta")]
    lines = compare_methods(rows, "coarse", "refined", list(found), DICE)[1:]
    matrix = np.array(list(found.values())).T
    matrix[3, 2] = np.nan
    assert [line.p_corrected for line in lines] == pytest.approx(max_t(matrix))
    assert [line.patients for line in lines] == [7, 7, 6]


def test_an_organ_without_a_difference_has_no_p() -> None:
    rows = rows_of("liver", [(0.5, 0.6)] * 6) + rows_of("spleen", [(0.5, 0.5)] * 6)
    _, liver, spleen = compare_methods(rows, "coarse", "refined", ["liver", "spleen"], DICE)
    assert (liver.p_corrected, spleen.p, spleen.p_permutation, spleen.p_corrected) == (2**-5, None, None, None)
    assert spleen.verdict == "no difference"


def test_distances_have_no_region_of_equivalence() -> None:
    values = [(10.0, 10.001), (10.0, 10.002), (10.0, 9.998)]
    line = compare_methods(rows_of("liver", values, metric="hd95"), "coarse", "refined", ["liver"], HD95)[0]
    assert (line.equivalence, line.verdict) == (0, "undecided (between -0.005 and +0.006)")


def test_an_organ_nobody_has_gets_no_line() -> None:
    rows = rows_of("liver", [(0.5, 0.6), (0.5, 0.7)])
    lines = compare_methods(rows, "coarse", "refined", ["spleen", "liver"], DICE)
    assert [line.organ for line in lines] == ["all organs", "liver"]


def test_lines_come_in_the_order_of_the_organs() -> None:
    rows = rows_of("aorta", [(0.5, 0.6), (0.5, 0.7)]) + rows_of("spleen", [(0.5, 0.3), (0.6, 0.3)])
    lines = compare_methods(rows, "coarse", "refined", ["spleen", "aorta"], DICE)
    assert [line.organ for line in lines] == ["all organs", "spleen", "aorta"]
    assert [line.difference for line in lines[1:]] == pytest.approx([-0.25, 0.15])


def test_other_methods_and_metrics_are_not_counted() -> None:
    rows = rows_of("liver", [(0.5, 0.6), (0.5, 0.7)])
    others = [
        Row("scan0", "patient0", "liver", "portal", "refined", "hd95", 12.0),
        Row("scan0", "patient0", "liver", "portal", "truth", "volume_ml", 900.0),
        Row("scan0", "patient0", "liver", "portal", "third", "dice", 0.1),
    ]
    assert compare_methods(rows + others, "coarse", "refined", ["liver"], DICE) == compare_methods(
        rows, "coarse", "refined", ["liver"], DICE
    )
