"""Errors of differences between arms: the formula, and how often tests err, by simulation (``pytest -s`` prints)."""

import math

import numpy as np
import pytest
from scipy import stats

from scripts.study.crossed import Estimate, Values, estimate, fold_means

LEVELS = (0.05, 0.01, 0.001)
SEED, PATIENT, REST = 0.01, 0.02, 0.01  # SDs of Dice: arm:seed, arm:patient and what is left


def draw(rng: np.random.Generator, studies: int, arms: int, seeds: int, patients: int, seed: float = SEED) -> Values:
    """Values (studies, arms, seeds, patients) of arms that do not differ."""
    return (
        seed * rng.standard_normal((studies, arms, seeds, 1))
        + PATIENT * rng.standard_normal((studies, arms, 1, patients))
        + REST * rng.standard_normal((studies, arms, seeds, patients))
    )


def p_of(found: Estimate) -> Values:
    return 2 * np.minimum(found.below(0), found.above(0))


def rates(p: Values) -> list[float]:
    return [float((p < level).mean()) for level in LEVELS]


def shown(name: str, found: list[float]) -> None:
    print(f"| {name} | " + " | ".join(f"{100 * rate:.2f} %" for rate in found) + " |")


def pair_by_loops(first: list[list[float]], second: list[list[float]]) -> tuple[float, float, float]:
    """Difference, error and degrees of freedom of two arms, one number at a time."""
    rows = [[b - a for a, b in zip(one, other, strict=True)] for one, other in zip(first, second, strict=True)]
    seeds, patients = len(rows), len(rows[0])
    total = sum(map(sum, rows)) / (seeds * patients)
    of_seed = [sum(row) / patients for row in rows]
    of_patient = [sum(row[number] for row in rows) / seeds for number in range(patients)]
    a = sum(patients * (mean - total) ** 2 for mean in of_seed) / (seeds - 1)
    b = sum(seeds * (mean - total) ** 2 for mean in of_patient) / (patients - 1)
    c = sum((rows[s][p] - of_seed[s] - of_patient[p] + total) ** 2 for s in range(seeds) for p in range(patients))
    excess = max(b - c / ((seeds - 1) * (patients - 1)), 0)
    degrees = (a + excess) ** 2 / (a**2 / (seeds - 1) + excess**2 / (patients - 1))
    return total, math.sqrt((a + excess) / (seeds * patients)), degrees


@pytest.mark.parametrize(("seeds", "patients"), [(2, 5), (3, 9), (5, 22)])
def test_two_arms_are_those_of_the_loops(seeds, patients):
    values = draw(np.random.default_rng(0), 1, 2, seeds, patients)[0]
    for families in (None, ["a", "b"]):  # two arms differ alike within a family and between two
        found = estimate(values, [-1, 1], families)
        expected = pair_by_loops(values[0].tolist(), values[1].tolist())
        assert (found.difference, found.error, found.degrees) == pytest.approx(expected, rel=1e-9)


def test_pooled_errors_are_the_mean_of_all_pairs_squared():
    values = draw(np.random.default_rng(1), 1, 4, 3, 300, seed=0.05)[0]  # so large that nothing is cut at 0
    values[:, :, :] += 0.3 * np.random.default_rng(2).standard_normal((1, 3, 300))  # what arms share cancels
    pairs = [(a, b) for a in range(4) for b in range(a)]
    squares = np.mean([float(estimate(values[[a, b]], [-1, 1]).error) ** 2 for a, b in pairs])
    pooled = estimate(values, [0, -1, 0, 1])
    assert float(pooled.error) ** 2 == pytest.approx(squares, rel=1e-6)
    assert float(pooled.degrees) > 5


def test_many_studies_at_once_are_each_by_itself():
    values = draw(np.random.default_rng(3), 4, 5, 3, 8)
    families, weights = ["a", "a", "b", "b", "b"], [1, 0, 0, -1, 0]
    together = estimate(values, weights, families)
    for number in range(4):
        alone = estimate(values[number], weights, families)
        assert (alone.difference, alone.error, alone.degrees) == pytest.approx(
            (together.difference[number], together.error[number], together.degrees[number]), rel=1e-9
        )


def test_other_families_say_nothing_about_two_arms_of_one():
    values = draw(np.random.default_rng(4), 1, 4, 3, 8)[0]
    found = estimate(values, [1, -1, 0, 0], ["a", "a", "b", "b"])
    assert found == estimate(values[:2], [1, -1])


def test_arms_that_are_the_same_everywhere():
    values = np.tile(draw(np.random.default_rng(5), 1, 1, 3, 6)[0], (3, 1, 1))
    found = estimate(values, [1, -1, 0])
    assert (found.difference, found.error, p_of(found)) == pytest.approx((0, 0, 1), abs=1e-12)
    assert (float(found.below(0.01)), float(found.above(0.01))) == pytest.approx((1, 0), abs=1e-12)


@pytest.mark.parametrize(("weights", "merged"), [([1, -1, 0, 0], [1, -1, 0]), ([0, -1, 1, 0], [0, -1, 1])])
def test_an_arm_that_is_the_same_network_as_another_counts_once(weights, merged):
    values = draw(np.random.default_rng(7), 1, 3, 3, 8)[0]
    with_copy = np.concatenate([values, values[:1]])
    assert estimate(with_copy, weights) == estimate(values, merged)
    others = estimate(with_copy, weights, ["a", "a", "a", "b"])  # of another family: not the same network
    assert others == estimate(values, merged, ["a", "a", "a"])
    assert estimate(with_copy, [1, 0, 0, -1]).error == 0


def test_fold_means_average_the_patients_of_a_fold():
    values = np.arange(12.0).reshape(1, 2, 6)
    assert fold_means(values, [0, 2, 1, 0, 1, 2]).tolist() == [[[1.5, 3, 3], [7.5, 9, 9]]]


def test_folds_count_by_their_size_so_that_the_difference_is_that_of_the_patients_means():
    values = draw(np.random.default_rng(3), 1, 3, 4, 9)[0]
    folds = [0, 0, 1, 1, 2, 2, 3, 3, 4]
    found = estimate(fold_means(values, folds), [1, -1, 0]).difference
    assert found == pytest.approx(values[0].mean() - values[1].mean())
    values[0] = values[1] + 0.1
    assert estimate(fold_means(values[:2], folds), [1, -1]).error == pytest.approx(0, abs=1e-12)


# how often they err: 20 000 studies without a difference


@pytest.mark.parametrize(("seeds", "patients"), [(3, 9), (3, 22), (3, 104), (5, 22)])
def test_pooled_errors_hold_every_level(seeds, patients):
    rng, weights = np.random.default_rng(6), [-1, 1, 0, 0, 0, 0]
    alone, pooled, finds = [], [], []
    for _ in range(20):
        values = draw(rng, 1000, 6, seeds, patients)
        pooled.append(p_of(estimate(values, weights)))
        alone.append(p_of(estimate(values[:, :2], [-1, 1])))
        values[:, 1] += 0.02
        finds.append((p_of(estimate(values[:, :2], [-1, 1])), p_of(estimate(values, weights))))
    wrong, wrong_alone = rates(np.concatenate(pooled)), rates(np.concatenate(alone))
    power_alone, power = (np.concatenate(p)[..., None] < 0.05 for p in zip(*finds, strict=True))
    shown(f"{seeds} x {patients}, the pair's own errors", [*wrong_alone, power_alone.mean()])
    shown(f"{seeds} x {patients}, pooled over six arms", [*wrong, power.mean()])
    assert 0.043 < wrong[0] < 0.057
    assert 0.007 < wrong[1] < 0.014
    assert wrong[2] < 0.0025
    assert power.mean() > power_alone.mean() + 0.03
    if (seeds, patients) == (3, 104):  # why it is done
        assert wrong_alone[2] > 0.01
        assert (power_alone.mean(), power.mean()) == (pytest.approx(0.38, abs=0.03), pytest.approx(0.57, abs=0.03))


@pytest.mark.parametrize(("seeds", "patients"), [(3, 22), (3, 104), (5, 22)])
def test_families_hold_their_level_where_pooling_over_all_would_not(seeds, patients):
    """Five refiners share a coarse run, three whole-slice networks do not: each family shares effects of its own."""
    rng, families = np.random.default_rng(7), ["refiner"] * 5 + ["slices"] * 3
    across, within = [1, 0, 0, 0, 0, -1, 0, 0], [1, -1, 0, 0, 0, 0, 0, 0]
    found: dict[str, list[Values]] = {"all": [], "across": [], "within": []}
    for _ in range(10):
        values = draw(rng, 1000, 8, seeds, patients)
        for of in (slice(0, 5), slice(5, 8)):
            values[:, of] += draw(rng, 1000, 1, seeds, patients)
        found["all"].append(p_of(estimate(values, across)))
        found["across"].append(p_of(estimate(values, across, families)))
        found["within"].append(p_of(estimate(values, within, families)))
    wrong = {name: rates(np.concatenate(p)) for name, p in found.items()}
    for name, title in (
        ("within", "two arms of one family"),
        ("across", "arms of two families"),
        ("all", "arms of two families, pooled as one"),
    ):
        shown(f"{seeds} x {patients}, {title}", wrong[name])
    assert 0.04 < wrong["within"][0] < 0.06
    assert 0.04 < wrong["across"][0] < 0.065
    assert wrong["across"][2] < 0.004
    assert wrong["all"][0] > 0.08


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("shared", ["run", "training set"])
def test_a_fold_in_a_patient_s_place_holds_the_level(seeds, shared):
    """100 patients in five folds; what a fold's networks have in common differs by run, or is its training set's."""
    rng, folds, weights = np.random.default_rng(8), np.arange(100) % 5, [-1, 1, 0, 0, 0, 0]
    by_patient, by_fold = [], []
    for _ in range(10):
        values = draw(rng, 500, 6, seeds, 100, seed=0)
        values += SEED * rng.standard_normal((500, 6, seeds, 5))[..., folds]
        if shared == "training set":
            values += SEED * rng.standard_normal((500, 6, 1, 5))[..., folds]
        by_patient.append(p_of(estimate(values, weights)))
        by_fold.append(p_of(estimate(fold_means(values, folds.tolist()), weights)))
    wrong, as_patients = rates(np.concatenate(by_fold)), rates(np.concatenate(by_patient))
    shown(f"{seeds} x 5 folds of 20, a {shared}'s effect, patients", as_patients)
    shown(f"{seeds} x 5 folds of 20, a {shared}'s effect, folds", wrong)
    assert 0.025 < wrong[0] < 0.07
    assert wrong[2] < 0.005
    if shared == "training set":
        assert as_patients[0] > 0.15


def test_an_arm_that_varies_more_than_its_family_is_called_different_too_often():
    """What pooling costs where its assumption fails: such an arm needs a family of its own."""
    rng, alone, pooled, apart = np.random.default_rng(12), [], [], []
    for _ in range(10):
        values = draw(rng, 1000, 6, 3, 22)
        values[:, 1] *= 2
        pooled.append(p_of(estimate(values, [-1, 1, 0, 0, 0, 0])))
        alone.append(p_of(estimate(values[:, [0, 2, 3, 4, 5]], [-1, 1, 0, 0, 0])))
        apart.append(p_of(estimate(values, [-1, 1, 0, 0, 0, 0], ["", "wild", "", "", "", ""])))
    wrong = [rates(np.concatenate(p)) for p in (pooled, apart, alone)]
    shown("3 x 22, an arm that varies twice as much, pooled", wrong[0])
    shown("3 x 22, an arm that varies twice as much, a family of its own", wrong[1])
    assert wrong[0][0] > 0.1
    assert wrong[1][0] < 0.075
    assert wrong[2][0] < 0.06


def test_skewed_patients_do_little_harm():
    rng = np.random.default_rng(9)
    p = []
    for _ in range(10):
        values = draw(rng, 1000, 6, 3, 22) + PATIENT * (rng.exponential(size=(1000, 6, 1, 22)) - 1)
        p.append(p_of(estimate(values, [-1, 1, 0, 0, 0, 0])))
    assert rates(np.concatenate(p))[0] < 0.06


def test_the_detectable_difference_is_found_four_times_in_five():
    rng, weights = np.random.default_rng(10), [-1, 1, 0, 0, 0, 0]
    values = draw(rng, 4000, 6, 5, 22)
    shift = float(np.mean(estimate(values, weights).detectable(0.05, 0.8)))
    values[:, 1] += shift
    found = float((p_of(estimate(values, weights)) < 0.05).mean())
    print(f"detectable {shift:.4f}, found {found:.1%}")
    assert found == pytest.approx(0.8, abs=0.03)


def test_intervals_cover():
    found = estimate(draw(np.random.default_rng(11), 4000, 6, 3, 22), [-1, 1, 0, 0, 0, 0])
    assert float((np.abs(found.difference) < found.reach(0.025)).mean()) == pytest.approx(0.95, abs=0.01)
    assert float(Estimate(np.array(1.0), np.array(2.0), np.array(3.0)).below(0)) == pytest.approx(stats.t.cdf(-0.5, 3))
