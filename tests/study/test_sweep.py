"""Sweeps of one key over its values."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.study.strategy import find_strategies
from scripts.study.sweep import swept
from tests.study.made import BUNDLE, KEYS, made_plan

FOLDER = BUNDLE / "configs" / "strategies"


def test_a_sweep_runs_every_strategy_once_per_value() -> None:
    found = swept(find_strategies(["semantic", "simclr"], KEYS), "temperature=0.05, 0.1", KEYS)
    assert [(one.name, one.overrides) for one in found] == [
        ("semantic temperature=0.05", {"temperature": 0.05}),
        ("semantic temperature=0.1", {"temperature": 0.1}),
        ("simclr temperature=0.05", {"temperature": 0.05}),
        ("simclr temperature=0.1", {"temperature": 0.1}),
    ]
    assert found[0].numbers == {"meaning": "cluster", "temperature": 0.05}
    assert found[0].stages == found[1].stages


def test_a_sweep_leaves_strategies_without_such_a_stage_as_they_are() -> None:
    found = swept(find_strategies(["coarse", "scratch", "semantic"], KEYS), "temperature=0.05,0.1", KEYS)
    names = ["coarse", "scratch", "semantic temperature=0.05", "semantic temperature=0.1"]
    assert [one.name for one in found] == names
    found = swept(find_strategies(["coarse", "scratch"], KEYS), "patch_size=32,64", KEYS)
    assert [one.name for one in found] == ["coarse", "scratch patch_size=32", "scratch patch_size=64"]


def test_a_sweep_may_be_of_what_inference_reads() -> None:
    found = swept(find_strategies(["scratch"], KEYS), "certain=0.5,0.8", KEYS)
    assert [one.name for one in found] == ["scratch certain=0.5", "scratch certain=0.8"]


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("show_attention=true,false", [True, False]),
        ("block=basic,bottleneck", ["basic", "bottleneck"]),
        ("layers=[1,1,1,1],[2, 2, 2, 2]", [[1, 1, 1, 1], [2, 2, 2, 2]]),
    ],
)
def test_values_of_a_sweep_are_read_as_in_a_config(sweep: str, values: list[object]) -> None:
    found = swept(find_strategies(["semantic"], KEYS), sweep, KEYS)
    assert [next(iter(one.overrides.values())) for one in found] == values


@pytest.mark.parametrize(
    "sweep", ["temperature", "temperature=", "=0.1", "temperature=,", "temperature=0.1,0.1", "widths=[8,16"]
)
def test_an_invalid_sweep_is_refused(sweep: str) -> None:
    with pytest.raises(
        SemclError, match=r"(?s)a sweep cannot be understood.*key=value,value.*for example --sweep temp"
    ):
        swept(find_strategies(["semantic"], KEYS), sweep, KEYS)


def test_a_sweep_may_be_of_one_stage_alone() -> None:
    scratch, *semantic = swept(find_strategies(["scratch", "semantic"], KEYS), "pretrain.clusters_per_batch=4,8", KEYS)
    assert scratch.overrides == {}
    assert [one.name for one in semantic] == [f"semantic pretrain.clusters_per_batch={count}" for count in (4, 8)]
    assert [KEYS.part("pretrain", one.overrides) for one in semantic] == [
        {"clusters_per_batch": 4},
        {"clusters_per_batch": 8},
    ]
    assert not any(KEYS.part("train", one.overrides) for one in semantic)


def test_a_sweep_goes_before_what_a_preset_has_for_one_stage(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, ["scratch"], numbers={"train.clusters_per_batch": 6})
    found = swept(plan.strategies, "clusters_per_batch=2,13", KEYS)
    assert [plan.numbers_of(one, "train")["clusters_per_batch"] for one in found] == [2, 13]


def test_queries_are_cut_alike_in_all_stages() -> None:
    with pytest.raises(SemclError, match=r"(?s)one stage what all stages must share.*set --sweep patch_size=32,64"):
        swept(find_strategies(["scratch"], KEYS), "train.patch_size=32,64", KEYS)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("labelled=0.1,1", r"the study sets labelled itself.*in --sweep labelled=0\.1,1.*use .*--labels"),
        ("train.max_epochs=1,2", r"the study sets max_epochs itself.*--budget 0"),
        ("temprature=1,2", r"no stage reads temprature.*did you mean temperature"),
    ],
)
def test_a_sweep_does_not_set_what_the_study_sets_nor_what_nobody_reads(sweep: str, message: str) -> None:
    with pytest.raises(SemclError, match=f"(?s){message}"):
        swept(find_strategies(["semantic"], KEYS), sweep, KEYS)


@pytest.mark.parametrize(
    "sweep", ["temperature=0.1,0.2", "pseudo_labels.certain=0.5,0.9", "pretrain.learning_rate=1,2"]
)
def test_a_sweep_that_changes_nothing_is_refused(sweep: str) -> None:
    with pytest.raises(SemclError, match=r"(?s)a sweep changes nothing.*no stage of scratch, multiclass reads"):
        swept(find_strategies(["scratch", "multiclass"], KEYS), sweep, KEYS)


def test_a_sweep_may_be_of_pseudo_labels() -> None:
    found = swept(find_strategies(["self-training", "scratch"], KEYS), "pseudo_labels.certain=0.5,0.9", KEYS)
    names = ["self-training pseudo_labels.certain=0.5", "self-training pseudo_labels.certain=0.9", "scratch"]
    assert [one.name for one in found] == names
