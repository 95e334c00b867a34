"""Checks that weights, losses and scores are finite."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from scripts.errors import SemclError
from scripts.finite import all_finite, not_finite, refuse_broken, training_failed


@pytest.mark.parametrize(
    ("values", "finite"),
    [([1.0, 2.0], True), ([], True), ([3e38, 3e38], True), ([1.0, float("nan")], False), ([float("inf")] * 2, False)],
)
def test_values_are_finite_even_where_their_sum_is_not(values, finite):
    assert all_finite(torch.tensor(values)) is finite
    assert all_finite(torch.tensor([float("inf"), -float("inf")])) is False


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_entries_that_are_not_finite_are_named(value):
    state = {"good": torch.ones(2), "bad": torch.tensor([1.0, value]), "number": value, "counter": torch.tensor(3)}
    assert not_finite(state) == ["bad"]


def test_an_error_names_epoch_step_and_round():
    engine = cast(Any, SimpleNamespace(state=SimpleNamespace(epoch=4)))
    assert training_failed(engine, "NaN").problem == "training failed in epoch 4"
    engine.state.round = 2
    assert training_failed(engine, "NaN", 7).problem == "training failed in epoch 4, step 7, round 3"


def test_scores_that_are_not_finite_are_refused_with_their_case():
    refuse_broken(torch.zeros(3), "coarse", "liver", "a")
    with pytest.raises(
        SemclError, match=r"case a: the scores of the coarse network are not finite[^$]*scores of liver"
    ):
        refuse_broken(torch.tensor([0.0, torch.nan]), "coarse", "liver", "a")
