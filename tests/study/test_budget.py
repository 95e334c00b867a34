"""Budgets: lengths that never cost more than there is, and little less."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.errors import SemclError
from scripts.study.budget import LEAST, Cost, Length, length_of, usual_length

NAMES = ("semantic", "train", "2 patients, 60 s")
COST = Cost(step=0.1, fixed=2.0, case=0.5)


def cost_of(length: Length, cost: Cost, before: float, cases: int) -> float:
    """What a stage of this length costs, step by step."""
    return (
        before
        + cost.fixed
        + cost.case * cases
        + cost.step * length.steps
        + cost.epoch * length.max_epochs * length.rounds
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_length_never_costs_more_than_its_share_and_uses_nearly_all_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(50):
        step = float(rng.uniform(0.01, 2))
        fixed, case, epoch = float(rng.uniform(0, 20)), float(rng.uniform(0, 1)), float(rng.uniform(0, step))
        cost = Cost(step=step, fixed=fixed, case=case, epoch=epoch)
        before, cases, rounds = float(rng.uniform(0, 10)), int(rng.integers(0, 9)), int(rng.integers(1, 5))
        usual, steps = int(rng.integers(16, 40)), float(rng.uniform(20, 2000))
        seconds = before + cost.fixed + cost.case * cases + steps * cost.step * rounds
        length = length_of(seconds, cost, before, cases, rounds, usual, NAMES)
        spent = cost_of(length, cost, before, cases)
        assert length.seconds == pytest.approx(spent)
        assert 0.93 * seconds <= spent <= seconds * (1 + 1e-9)


@pytest.mark.parametrize(("usual", "rounds"), [(usual, rounds) for usual in (5, 8, 20, 24, 200) for rounds in (1, 3)])
def test_epochs_keep_their_usual_length_as_far_as_they_can(usual: int, rounds: int) -> None:
    for steps in range(LEAST, 400, 7):
        length = length_of(steps * rounds * 1.0 + 1e-6, Cost(1.0, 0, 0), 0, 0, rounds, usual, NAMES)
        assert length.rounds == rounds
        assert 0.95 * steps <= length.max_epochs * length.epoch_length + 1 <= steps + 1
        assert length.max_epochs == 1 or usual / 2 <= length.epoch_length <= usual * 1.5


def test_fixed_costs_are_paid_first() -> None:
    length = length_of(20.0, COST, before=3.0, cases=10, rounds=1, usual=20, names=NAMES)
    assert length.steps == 100  # of the 10 s that 3 s before, 2 s once and 5 s for cases leave
    assert length.numbers == {"max_epochs": 5, "epoch_length": 20}
    assert length.seconds == pytest.approx(20.0)


def test_every_round_of_cross_fitting_is_paid() -> None:
    alone, three = (length_of(62.0, COST, 0, 0, rounds, 20, NAMES) for rounds in (1, 3))
    assert (alone.steps, three.steps) == (600, 600)  # for 60 s
    assert (alone.max_epochs * alone.epoch_length, three.max_epochs * three.epoch_length) == (600, 200)


@pytest.mark.parametrize(
    ("seconds", "found", "needed"),
    [
        (5.0, r"60 s: 5\.0 s for train, of which 7\.0 s are fixed costs for 4 cases and a step takes 0\.3 s",
         r"at least 9\.4 s, for 8 steps"),
        (9.3, r"9\.3 s for train", r"at least 9\.4 s"),
    ],
)  # fmt: skip
def test_a_budget_that_is_too_small_names_strategy_stage_and_seconds(seconds: float, found: str, needed: str) -> None:
    message = rf"(?s)the budget is too small for semantic: train could not train.*{found}.*{needed}.*raise --budget"
    with pytest.raises(SemclError, match=message):
        length_of(seconds, COST, 3.0, 4, 3, 20, NAMES)


@pytest.mark.parametrize("epoch", [0.5, 5.0, 50.0])
def test_what_every_epoch_costs_is_paid(epoch: float) -> None:
    for seconds in np.linspace(epoch + 10, 20 * epoch + 100, 60).tolist():
        length = length_of(seconds, Cost(step=1.0, fixed=0, case=0, epoch=epoch), 0, 0, 1, 20, NAMES)
        assert length.seconds == pytest.approx(length.steps + epoch * length.max_epochs)
        assert length.seconds <= seconds * (1 + 1e-9)
    with pytest.raises(SemclError, match=rf"at least {epoch + 8:.1f} s, for 8 steps"):
        length_of(epoch + 7.9, Cost(step=1.0, fixed=0, case=0, epoch=epoch), 0, 0, 1, 20, NAMES)


def test_what_is_said_to_be_needed_is_enough() -> None:
    assert length_of(9.4 + 1e-9, COST, 3.0, 4, 3, 20, NAMES).steps == 3 * LEAST


@pytest.mark.parametrize(
    ("config", "numbers", "usual"),
    [
        ({"epoch_length": 24}, {}, 24),
        ({"epoch_length": 24}, {"epoch_length": 8}, 8),
        ({"epoch_length": "$len(@data)"}, {}, 20),
        ({}, {"epoch_length": "$7"}, 20),
        ({}, {}, 20),
    ],
)
def test_the_usual_length_of_an_epoch_is_the_config_s(
    config: dict[str, object], numbers: dict[str, object], usual: int
) -> None:
    assert usual_length(config, numbers) == usual
