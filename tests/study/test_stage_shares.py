"""The stages of strategies and their shares: in which order they run, and what makes no pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.study.stage_shares import predictor, teacher
from scripts.study.strategy import find_strategies
from tests.study.made import KEYS, overlay, strategy_file


def test_stages_are_in_the_order_they_run(tmp_path: Path) -> None:
    refined = "{self_training: 0.2, train: 0.2, pretrain: 0.2, segment: 0.2, pretrain_slices: 0.2}"
    plain = "{segment: 0.2, pretrain: 0.2, coarse: 0.2}"
    paths = [strategy_file(tmp_path, name, stages=stages) for name, stages in (("one", refined), ("two", plain))]
    one, two = find_strategies(paths, KEYS)
    assert list(one.stages) == ["pretrain_slices", "segment", "pretrain", "train", "self_training"]
    assert list(two.stages) == ["coarse", "pretrain", "segment"]


WRONG = {  # what is said of stages that make no pipeline
    "{}": "no key stages",
    "3": "no key stages",
    "[coarse, train]": "no key stages",
    "{coarse: 0.5, trian: 0.5}": "no training stage trian",
    "{coarse: 0.5, inference: 0.5}": "no training stage inference",
    "{coarse: 0, train: 1.0}": r"shares coarse 0, train 1\.0",
    "{coarse: -0.5, train: 1.0}": r"shares coarse -0\.5",
    "{coarse: 1.5}": r"shares coarse 1\.5",
    "{coarse: half}": "shares coarse half",
    "{coarse: .nan}": "shares coarse nan",
    "{coarse: null}": "shares coarse None",
    "{coarse: 0.6, train: 0.6}": r"shares that add up to 1\.2",
    "{train: 1.0}": "train without coarse or segment",
    "{coarse: 0.5, pretrain: 0.5}": "pretrain without train or segment",
    "{pretrain: 0.5, segment: 0.5}": "pretrain, segment, which are not one pipeline",
    "{pretrain: 0.5, train: 0.5}": "train without coarse or segment",
    "{pretrain_slices: 1.0}": "pretrain_slices without segment",
    "{coarse: 0.5, segment: 0.5}": "coarse, segment, which are not one pipeline",
    "{coarse: 0.3, train: 0.3, segment: 0.4}": "coarse, train, segment, which are not one pipeline",
    "{coarse: 0.3, pretrain_slices: 0.3, segment: 0.4}": "coarse, pretrain_slices, segment, which are not one pipeline",
    "{coarse: 0.4, train: 0.4, self_training: 0.2}": "self_training without segment",
    "{coarse: 0.2, pretrain: 0.2, segment: 0.4, self_training: 0.2}": "coarse, pretrain, segment, self_training, which",
}


@pytest.mark.parametrize(("stages", "found"), WRONG.items(), ids=WRONG.keys())
def test_stages_that_make_no_pipeline_are_refused_with_what_is_wrong(tmp_path: Path, stages: str, found: str) -> None:
    path = strategy_file(tmp_path, "odd", stages=stages)
    message = rf"(?s)odd\.yaml does not say how a strategy is trained.*{found}.*stages: \{{segment.*edit .*odd\.yaml"
    with pytest.raises(SemclError, match=message):
        find_strategies([path], KEYS)


def test_an_overlay_without_stages_is_no_strategy(tmp_path: Path) -> None:
    with pytest.raises(SemclError, match=r"(?s)how a strategy is trained.*no key stages"):
        find_strategies([str(overlay(tmp_path, "old", "temperature: 0.2"))], KEYS)


@pytest.mark.parametrize(
    "stages",
    [
        "{coarse: 1.0}",
        "{coarse: 0.2, train: 0.2}",
        "{coarse: 0.3, pretrain: 0.2, segment: 0.5}",
        "{coarse: 0.1, pretrain: 0.2, train: 0.7}",
        "{segment: 0.5, train: 0.5}",
        "{segment: 0.5, pretrain: 0.2, train: 0.2}",
        "{segment: 0.5, pretrain: 0.1, train: 0.2, self_training: 0.2}",
        "{pretrain_slices: 0.1, segment: 0.7, self_training: 0.2}",
        "{pretrain_slices: 0.1, segment: 0.5, train: 0.4}",
        "{coarse: 1}",
    ],
)
def test_pipelines_may_spend_the_budget_or_less(tmp_path: Path, stages: str) -> None:
    assert find_strategies([strategy_file(tmp_path, "mine", stages=stages)], KEYS)


@pytest.mark.parametrize(
    ("stages", "end", "maker"),
    [
        (["segment"], "segment_inference", "plain_pseudo_labels"),
        (["segment", "self_training"], "segment_inference", "plain_pseudo_labels"),
        (["segment", "train"], "inference", "pseudo_labels"),
        (["segment", "pretrain", "train", "self_training"], "inference", "pseudo_labels"),
    ],
)
def test_what_predicts_with_the_last_network_and_what_makes_pseudo_labels(
    stages: list[str], end: str, maker: str
) -> None:
    assert (predictor(stages), teacher(stages)) == (end, maker)
    assert predictor(["coarse"]) is None
