"""Corrections for the number of tests: Holm's, and max-T by sign flips."""

import itertools

import numpy as np
import pytest

from scripts.evaluate.statistics import sign_flip, signed_rank
from scripts.evaluate.step_down import holm, max_t


def by_loops(differences: np.ndarray) -> list[float]:
    """Max-T by its definition: all signs, and for each organ the largest statistic of those not larger than its own."""
    known = np.nan_to_num(differences)
    scaled = known / np.sqrt((known**2).sum(0))
    found = [abs(float(column.sum())) for column in scaled.T]
    flips = list(itertools.product((1, -1), repeat=len(known)))
    p: dict[int, float] = {}
    largest_so_far = 0.0
    for organ in sorted(range(len(found)), key=lambda number: -found[number]):
        rest = [number for number in range(len(found)) if number not in p]
        hits = 0
        for signs in flips:
            values = [abs(sum(s * float(x) for s, x in zip(signs, scaled[:, number], strict=True))) for number in rest]
            hits += max(values) >= found[organ] - 1e-9
        largest_so_far = max(largest_so_far, hits / len(flips))
        p[organ] = largest_so_far
    return [p[organ] for organ in range(len(found))]


@pytest.mark.parametrize("seed", range(4))
def test_max_t_is_that_of_the_loops(seed):
    rng = np.random.default_rng(seed)
    differences = rng.normal([1.0, 0.3, 0.0, 2.0], 1, (6, 4))
    differences[rng.random((6, 4)) < 0.15] = np.nan
    assert max_t(differences) == pytest.approx(by_loops(differences), abs=1e-12)


def test_one_organ_is_the_sign_flipping_test():
    for patients in (3, 9, 12):
        differences = np.random.default_rng(patients).normal(0.5, 1, patients)
        assert max_t(differences[:, None]) == [pytest.approx(sign_flip(differences))]


def test_many_patients_are_nearly_exact():
    differences = np.random.default_rng(5).normal(0.5, 1, 40)
    assert max_t(differences[:, None])[0] == pytest.approx(sign_flip(differences), abs=0.005)
    assert max_t(differences[:, None]) == max_t(differences[:, None])


def test_organs_in_which_nobody_differs_have_no_p():
    differences = np.array([[1.0, 0.0, np.nan], [1.0, 0.0, np.nan], [1.0, 0.0, np.nan]])
    assert max_t(differences) == [0.25, None, None]
    assert max_t(np.zeros((0, 2))) == [None, None]


@pytest.mark.parametrize("patients", [6, 9, 22])
def test_max_t_finds_strong_effects_where_holm_finds_none(patients):
    """13 organs that resemble each other, three of them better by two SDs over patients."""
    rng, found, count = np.random.default_rng(6), [], 400 if patients == 22 else 1000
    for _ in range(count):
        differences = (rng.standard_normal((patients, 1)) + rng.standard_normal((patients, 13))) / np.sqrt(2)
        none = np.array(max_t(differences))
        differences[:, :3] += 2
        some = np.array(max_t(differences))
        ranks = np.array(holm([signed_rank(column) or 1.0 for column in differences.T]))
        found.append(
            [(none < 0.05).any(), (some[3:] < 0.05).any(), (some[:3] < 0.05).mean(), (ranks[:3] < 0.05).mean()]
        )
    wrong, wrong_beside, finds, holm_finds = np.mean(found, axis=0)
    print(
        f"| {patients} patients, 13 organs | {wrong:.1%}, beside three others {wrong_beside:.1%} | max-T {finds:.0%} | "
        f"Holm-Wilcoxon {holm_finds:.0%} |"
    )
    assert max(wrong, wrong_beside) < 0.07
    assert finds > {6: 0.3, 9: 0.9, 22: 0.99}[patients]
    assert holm_finds == 0 or patients == 22


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
