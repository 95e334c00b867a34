"""Statistics: both tests against enumeration of signs, effect by hand, Holm's procedure, verdicts."""

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
    holm,
    interval,
    paired,
    rank_biserial,
    sign_flip,
    signed_rank,
)
from tests.evaluate.made import rows_of

DICE, HD95 = BY_NAME["dice"], BY_NAME["hd95"]


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


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([0.02], [0.02], id="one"),
        pytest.param([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], id="0.04 is raised to 2 x 0.03"),
        pytest.param([0.02, 0.02, 0.02], [0.06, 0.06, 0.06], id="ties"),
        pytest.param([0.5, 0.9, 0.4], [1.0, 1.0, 1.0], id="never above 1"),
    ],
)
def test_holm_worked_by_hand(p_values: list[float], expected: list[float]) -> None:
    assert holm(p_values) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_holm_rejects_what_its_procedure_rejects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p_values = (rng.random(7) ** 3).tolist()
    for level in rng.random(50):
        rejected = set()
        for step, (p, number) in enumerate(sorted((p, number) for number, p in enumerate(p_values))):
            if p > level / (7 - step):
                break
            rejected.add(number)
        assert {number for number, p in enumerate(holm(p_values)) if p <= level} == rejected


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


def test_what_only_one_method_has_measured_is_not_paired() -> None:
    rows = rows_of("liver", [(0.2, 0.4), (0.5, 0.6)])[:-1]
    np.testing.assert_allclose(paired(rows, "coarse", "refined"), [[0.2, 0.4]])
    assert paired(rows[:1], "coarse", "refined").shape == (0, 2)
    assert paired([], "coarse", "refined").shape == (0, 2)


@pytest.mark.parametrize("patients", [2, 5, 40])
def test_the_interval_holds_the_mean_and_is_the_same_twice(patients: int) -> None:
    differences = np.random.default_rng(patients).normal(0.1, 0.3, patients)
    low, high = interval(differences)
    assert low < differences.mean() < high
    assert interval(differences) == (low, high)


def test_the_interval_is_the_percentile_bootstrap_of_scipy() -> None:
    differences = np.random.default_rng(3).gamma(2.0, 0.1, 25)
    expected = stats.bootstrap((differences,), np.mean, method="percentile", n_resamples=20_000, rng=1)
    error = differences.std() / 5
    np.testing.assert_allclose(interval(differences), expected.confidence_interval, atol=0.1 * error)


def test_the_interval_of_two_patients_is_from_one_to_the_other() -> None:
    assert interval(np.array([0.1, 0.3])) == pytest.approx((0.1, 0.3))  # each sampled twice in a quarter of resamples


def test_one_patient_has_no_interval_and_tells_nothing() -> None:
    assert interval(np.array([0.1])) == (None, None)
    assert [
        line.verdict for line in compare_methods(rows_of("liver", [(0.5, 0.9)]), "coarse", "refined", ["liver"], DICE)
    ] == ["too few patients to tell (1)"] * 2


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        pytest.param([0.1, 0.2, 0.15, 0.3, 0.25, 0.05], "better, beyond chance", id="six gain"),
        pytest.param([-0.1, -0.2, -0.15, -0.3, -0.25, -0.05], "worse, beyond chance", id="six lose"),
        pytest.param([0.1, 0.2, 0.15, 0.3, 0.25], "too few patients to tell (5)", id="five gain"),
        pytest.param([0.1, -0.2, 0.15, -0.3, 0.25, -0.05], "cannot be told from chance", id="three gain, three lose"),
        pytest.param([0.0] * 6, "no difference", id="none moves"),
    ],
)
def test_the_verdict_says_what_chance_could_do(gains: list[float], verdict: str) -> None:
    line = compared([(0.5, 0.5 + gain) for gain in gains])
    assert line.verdict == verdict
    assert line.difference == pytest.approx(sum(gains) / len(gains))


@pytest.mark.parametrize(
    ("change", "verdict", "better"),
    [
        pytest.param(-3.0, "better, beyond chance", True, id="nearer"),
        pytest.param(3.0, "worse, beyond chance", False, id="farther"),
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


@pytest.mark.parametrize("pairs", [[(0.5, 0.9)], [(0.5, 0.9), (0.4, 0.4), (0.6, 0.6)]], ids=["one", "one of three"])
def test_one_patient_who_differs_tells_nothing(pairs: list[tuple[float, float]]) -> None:
    line = compared(pairs)
    assert (line.p, line.p_permutation, line.smallest_p) == (1, 1, 1)
    assert line.verdict == f"too few patients to tell ({len(pairs)})"


@pytest.mark.parametrize("seed", range(4))
def test_no_p_is_below_the_smallest_though_an_organ_does_not_differ(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = []
    for organ in ("liver", "spleen", "aorta"):
        moved = rng.normal(0.4, 0.2, 6) * (rng.random(6) < 0.8) * (organ != "spleen")
        rows += rows_of(organ, [(0.5, 0.5 + gain) for gain in moved])
    overall, *organs = compare_methods(rows, "coarse", "refined", ["liver", "spleen", "aorta"], DICE)
    assert overall.p >= overall.smallest_p
    corrected = [line.p_holm for line in organs if line.p_holm is not None]
    assert len(corrected) == 2
    assert min(corrected) >= min(line.smallest_p for line in organs)


def test_no_direction_is_claimed_when_the_mean_and_most_patients_disagree() -> None:
    line = compared([(0.5, 0.49 - 0.001 * number) for number in range(13)] + [(0.3, 0.8)])
    assert line.p < 0.05
    assert line.difference > 0
    assert line.verdict == "most patients one way, the mean the other"


def test_patients_without_a_difference_do_not_help_to_reach_a_small_p() -> None:
    line = compared([(0.5, 0.6), (0.5, 0.7), (0.5, 0.8), (0.5, 0.9), *[(0.5, 0.5)] * 4])
    assert (line.p, line.smallest_p) == (0.125, 0.125)
    assert line.verdict == "too few patients to tell (8)"


def test_the_verdict_on_an_organ_is_on_its_corrected_p() -> None:
    gains = [(0.5, 0.5 + 0.05 * number) for number in range(1, 7)]
    rows = rows_of("liver", gains) + rows_of("spleen", gains)
    overall, *organs = compare_methods(rows, "coarse", "refined", ["liver", "spleen"], DICE)
    assert (overall.verdict, overall.p, overall.p_holm) == ("better, beyond chance", 2**-5, None)
    for organ in organs:
        assert (organ.p, organ.p_holm) == (2**-5, 2**-4)
        assert organ.verdict == "too few patients to tell (6)"


@pytest.mark.parametrize(
    ("patients", "unchanged", "verdict"),
    [
        pytest.param(6, 0, "better, beyond chance", id="alone"),
        pytest.param(6, 1, "too few patients to tell (6)", id="beside one"),
        pytest.param(7, 1, "better, beyond chance", id="beside one, with a patient more"),
        pytest.param(7, 3, "too few patients to tell (7)", id="beside three"),
    ],
)
def test_an_organ_without_a_difference_is_corrected_for_too(patients: int, unchanged: int, verdict: str) -> None:
    others = [f"organ{number}" for number in range(unchanged)]
    rows = rows_of("liver", [(0.5, 0.5 + 0.05 * number) for number in range(1, patients + 1)])
    rows += [row for other in others for row in rows_of(other, [(0.5, 0.5)] * patients)]
    _, liver, *rest = compare_methods(rows, "coarse", "refined", ["liver", *others], DICE)
    p = 2.0 ** (1 - patients)
    assert (liver.p, liver.p_holm, liver.smallest_p) == (p, p * (1 + unchanged), p * (1 + unchanged))
    assert liver.verdict == verdict
    assert [(line.p, line.p_holm, line.verdict) for line in rest] == [(None, None, "no difference")] * unchanged


def test_a_p_of_1_of_an_unchanged_organ_stands_last_in_holm() -> None:
    """Two organs differ: the smaller p is taken three times, the larger twice, as with three that differ."""
    gains = [0.1, 0.2, 0.15, 0.3, 0.25, 0.05, 0.12, 0.08]
    rows = rows_of("liver", [(0.5, 0.5 + gain) for gain in gains])
    rows += rows_of("aorta", [(0.5, 0.5)] * 8)
    rows += rows_of("spleen", [(0.5, 0.5 + gain * (-1 if gain == 0.1 else 1)) for gain in gains])
    _, liver, aorta, spleen = compare_methods(rows, "coarse", "refined", ["liver", "aorta", "spleen"], DICE)
    assert liver.p < spleen.p < 0.5
    assert (liver.p_holm, aorta.p_holm, spleen.p_holm) == (3 * liver.p, None, 2 * spleen.p)


@pytest.mark.parametrize(("patients", "overall", "organ"), [(8, 2**-7, 3 * 2**-7), (2, 0.5, 1.0)])
def test_the_smallest_p_of_an_organ_grows_with_the_number_of_organs(
    patients: int, overall: float, organ: float
) -> None:
    pairs = [(0.5, 0.5 + 0.01 * number) for number in range(1, patients + 1)]
    names = ["liver", "spleen", "aorta"]
    rows = [row for name in names for row in rows_of(name, pairs)]
    lines = compare_methods(rows, "coarse", "refined", names, DICE)
    assert [line.smallest_p for line in lines] == pytest.approx([overall, organ, organ, organ])


def test_an_organ_nobody_has_gets_no_line() -> None:
    rows = rows_of("liver", [(0.5, 0.6), (0.5, 0.7)])
    lines = compare_methods(rows, "coarse", "refined", ["spleen", "liver"], DICE)
    assert [line.organ for line in lines] == ["all organs", "liver"]
    assert lines[1].smallest_p == 0.5


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
