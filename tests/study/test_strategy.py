"""Strategies: found by name or path, checked, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.study.stage_shares import PIPELINE_STAGES
from scripts.study.strategy import find_strategies
from tests.study.made import BUNDLE, KEYS, SHIPPED, made_pipelines, made_plan, overlay, strategy_file

FOLDER = BUNDLE / "configs" / "strategies"


def test_strategies_are_found_by_name_in_the_order_given() -> None:
    found = find_strategies(["semantic", "scratch"], KEYS)
    assert [one.name for one in found] == ["semantic", "scratch"]
    assert [one.overlay for one in found] == [(FOLDER / f"{name}.yaml").resolve() for name in ("semantic", "scratch")]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_overlay_that_ships_is_a_strategy_with_a_description(name: str) -> None:
    (found,) = find_strategies([name], KEYS)
    assert found.about.endswith((".", ")."))
    assert "#" not in found.about
    assert set(found.stages) <= set(PIPELINE_STAGES)
    assert 0 < sum(found.stages.values()) <= 1 + 1e-9
    assert name == "scratch-short" or sum(found.stages.values()) == pytest.approx(1)


def test_scratch_has_the_budget_that_pretraining_would_take() -> None:
    by_name = {one.name: one for one in find_strategies(["scratch", "scratch-short", "semantic"], KEYS)}
    assert by_name["scratch"].stages["train"] == pytest.approx(
        by_name["semantic"].stages["pretrain"] + by_name["semantic"].stages["train"]
    )
    assert by_name["scratch-short"].stages["train"] == by_name["semantic"].stages["train"]
    assert len({one.stages["segment"] for one in by_name.values()}) == 1


MAPS = {  # stages -> the stage that makes the maps, those left out where maps are given, whether they are refined
    "{coarse: 1.0}": (None, (), False),
    "{segment: 1.0}": (None, (), False),
    "{pretrain_slices: 0.3, segment: 0.7}": (None, (), False),
    "{coarse: 0.4, train: 0.6}": ("coarse", ("coarse",), True),
    "{coarse: 0.3, pretrain: 0.2, segment: 0.5}": ("coarse", ("coarse",), False),
    "{segment: 0.6, train: 0.4}": ("segment", ("segment",), True),
    "{pretrain_slices: 0.1, segment: 0.5, train: 0.4}": ("segment", ("pretrain_slices", "segment"), True),
    "{segment: 0.5, train: 0.3, self_training: 0.2}": ("segment", ("segment", "self_training"), True),
}


@pytest.mark.parametrize(("stages", "found"), MAPS.items(), ids=MAPS.keys())
def test_maps_are_of_the_coarse_network_or_of_a_plain_one_before_a_refiner(
    tmp_path: Path, stages: str, found: tuple[str | None, tuple[str, ...], bool]
) -> None:
    (strategy,) = find_strategies([strategy_file(tmp_path, "mine", stages=stages)], KEYS)
    assert (strategy.coarse_stage, strategy.map_stages, strategy.refines) == found


def test_a_strategy_of_ones_own_is_a_path_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# Warm,\n# and slow.\nstages: {train: 0.5, coarse: 0.5}\nmargin: 4  # wide\n# not of the description\n"
    overlay(tmp_path / "my own", "warm start", text)
    monkeypatch.chdir(tmp_path)
    (found,) = find_strategies(["my own/warm start.yaml"], KEYS)
    assert (found.name, found.numbers, found.about) == ("warm start", {"margin": 4}, "Warm, and slow.")
    assert list(found.stages) == ["coarse", "train"]  # in the order they run
    assert found.overlay.is_absolute()


@pytest.mark.parametrize("text", ["", "# As it ships.\n", "null"])
def test_an_overlay_that_is_empty_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SemclError, match=r"(?s)plain\.yaml is not an overlay\n.*the file is empty"):
        find_strategies([str(overlay(tmp_path, "plain", text))], KEYS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "semantik",
            r"(?s)no such strategy.*no semantik\.yaml in .*no file semantik.*one of coarse, .*did you mean semantic",
        ),
        (
            "mine/warm.yaml",
            r"(?s)no such strategy.*no file mine/warm\.yaml.*the path of your own overlay.*docs/study\.md",
        ),
    ],
)
def test_an_unknown_strategy_is_refused_and_the_nearest_named(name: str, message: str) -> None:
    with pytest.raises(SemclError, match=message):
        find_strategies([name], KEYS)


def test_no_strategy_at_all_is_refused() -> None:
    with pytest.raises(SemclError, match=r"(?s)no strategy is given.*one of coarse.*set --strategies"):
        find_strategies([], KEYS)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(SemclError, match=r"(?s)the bundle is missing.*no overlays in .*strategies.*set --bundle_root"):
        find_strategies(["semantic"], type(KEYS)(tmp_path))


def test_names_are_given_once(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "semantic")
    for names in (["semantic", "semantic"], ["semantic", mine]):
        with pytest.raises(SemclError, match=r"(?s)two strategies of the same name.*semantic twice"):
            find_strategies(names, KEYS)


@pytest.mark.parametrize(
    ("text", "found"),
    [("- a\n- b\n", r"\['a', 'b'\]"), ("word", "word"), ("1: 2", r"\{1: 2\}"), ("a: [1", "while parsing")],
)
def test_a_file_that_is_not_an_overlay_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = overlay(tmp_path, "odd", text)
    with pytest.raises(
        SemclError, match=rf"(?s)odd\.yaml is (not an overlay|not YAML).*{found}.*keys of the configs.*edit "
    ):
        find_strategies([str(path)], KEYS)


@pytest.mark.parametrize(
    "key",
    [
        *("seed", "labelled", "output_dir", "store_dir", "resume", "section", "coarse_dims"),
        *("finetune", "finetune_model_path", "val_interval", "calibration_share", "map_points"),
    ],
)
def test_a_strategy_does_not_set_what_the_study_sets(tmp_path: Path, key: str) -> None:
    path = strategy_file(tmp_path, "mine", f"temperature: 0.2\n{key}: 1\n")
    with pytest.raises(
        SemclError, match=rf"(?s)the study sets {key} itself.*{key} in .*mine\.yaml.*use --seeds, --labels"
    ):
        find_strategies([path], KEYS)


def test_what_maps_are_made_by_follows_from_the_stages(tmp_path: Path) -> None:
    path = strategy_file(tmp_path, "mine", "inference.coarse_dims: 2\n")
    with pytest.raises(
        SemclError, match=r"(?s)sets coarse_dims itself.*coarse_dims follows from the strategy's stages"
    ):
        find_strategies([path], KEYS)


@pytest.mark.parametrize("key", ["max_epochs", "train.epoch_length"])
def test_a_strategy_sets_lengths_where_there_is_no_budget_alone(tmp_path: Path, key: str) -> None:
    path = strategy_file(tmp_path, "mine", f"{key}: 3\n")
    with pytest.raises(SemclError, match=r"(?s)the study sets (max_epochs|epoch_length) itself.*--budget 0 leaves"):
        find_strategies([path], KEYS)
    assert find_strategies([path], KEYS, budget=False)[0].numbers == {key: 3}


def test_a_key_that_no_stage_reads_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = strategy_file(tmp_path, "mine", "temprature: 0.2\n")
    with pytest.raises(SemclError, match=r"(?s)no stage reads temprature.*mine\.yaml.*did you mean temperature"):
        find_strategies([path], KEYS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temperature: 0.2\n", "none of the stages segment, segment_inference reads temperature"),
        ("pretrain.learning_rate: 0.1\n", r"reads pretrain\.learning_rate"),
        ("pictures: 3\n", "reads pictures"),
    ],
)
def test_a_key_that_no_stage_of_a_strategy_reads_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Else it would be another strategy's network under another name."""
    with pytest.raises(SemclError, match=f"(?s){message}.*mine\\.yaml"):
        find_strategies([strategy_file(tmp_path, "mine", text, stages="{segment: 1.0}")], KEYS)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_stage_of_a_run_is_among_all_stages(tmp_path: Path, name: str) -> None:
    plan = made_plan(tmp_path, [name])
    pipelines = made_pipelines(plan)
    ran = {step.stage for run in plan.runs() for step in pipelines.steps(run)}
    bases = {KEYS.base(stage) for stage in plan.strategies[0].all_stages}
    assert ran == bases
