"""Designs: presets, what the command line changes in them, cells, contrasts and overlays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.errors import SemclError
from scripts.study.contrasts import Contrast
from scripts.study.design import DEFAULT, parse_contrasts, read_design
from scripts.study.labels import Amount
from scripts.study.plan import Cell
from scripts.study.strategy import FLOOR, find_strategies
from tests.study.made import BUNDLE, KEYS, design_of, made_pipelines, made_plan, overlay

CONFIGS = BUNDLE / "configs"
PRESETS = sorted(path.stem for path in (CONFIGS / "studies").glob("*.yaml"))


# presets


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_design_whose_runs_can_be_planned(tmp_path: Path, preset: str) -> None:
    design = read_design(preset, CONFIGS, {})
    strategies = find_strategies(design.strategies, KEYS, bool(design.budget))
    numbers = design.all_numbers(CONFIGS)
    KEYS.refuse_unknown(numbers, preset)
    cells = tuple({Cell(Amount(patients=2), cell.budget): None for cell in design.cells})
    plan = made_plan(tmp_path, design.strategies, cells=cells, seeds=design.seeds, numbers=numbers)
    plan.check()
    assert len(plan.runs()) == len(strategies) * len(cells) * design.seeds
    pipelines = made_pipelines(plan)
    assert all(pipelines.steps(run)[-1].predicts for run in plan.runs())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_contrast_of_a_preset_is_of_its_strategies(preset: str) -> None:
    design = read_design(preset, CONFIGS, {})
    found = parse_contrasts(design.contrasts, design.strategies)
    named = {name for contrast in found for name in (contrast.first, *contrast.second)}
    assert named <= {*design.strategies, FLOOR}
    assert len(found) >= 2
    assert design.baseline in (*design.strategies, FLOOR)


def test_the_default_preset_ships() -> None:
    assert DEFAULT in PRESETS
    assert read_design(None, CONFIGS, {}) == read_design(DEFAULT, CONFIGS, {})


def test_every_number_of_a_preset_is_explained() -> None:
    for preset in PRESETS:
        lines = (CONFIGS / "studies" / f"{preset}.yaml").read_text().splitlines()
        assert lines[0].startswith("# "), preset
        assert all(" # " in line for line in lines if line[:1].isalpha() and line.split(":")[0] != "strategies"), preset


def preset_of(folder: Path, **changes: Any) -> Path:
    """A preset of one's own; None leaves a key out."""
    content = {key: value for key, value in (vars(design_of()) | changes).items() if value is not None}
    content = {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}
    return overlay(folder, "mine", yaml.safe_dump(content))


def test_a_preset_of_ones_own_is_a_path(tmp_path: Path) -> None:
    path = preset_of(tmp_path, seeds=7, numbers={"train.margin": 9})
    found = read_design(str(path), CONFIGS, {})
    assert (found.seeds, found.numbers) == (7, {"train.margin": 9})


def test_an_overlay_that_is_given_replaces_the_preset_s_numbers(tmp_path: Path) -> None:
    path = preset_of(tmp_path, numbers={"train.margin": 9, "spacing": [4, 4, 0], "patch_size": 40})
    mine = overlay(tmp_path, "more", "spacing: [2, 2, 0]\nwindow: percentile\n")
    found = read_design(str(path), CONFIGS, {"overlays": [str(mine)]}).all_numbers(CONFIGS)
    assert found == {"train.margin": 9, "spacing": [2, 2, 0], "patch_size": 40, "window": "percentile"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": None}, r"is not the design of a study.*seeds missing.*compare it with"),
        ({"sedes": 3}, r"is not the design of a study.*sedes unknown.*the keys strategies, labels"),
    ],
)
def test_a_preset_that_is_no_design_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SemclError, match=f"(?s){message}"):
        read_design(str(preset_of(tmp_path, **changes)), CONFIGS, {})


def test_an_unknown_preset_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(SemclError, match=r"(?s)there is no such preset.*no smkoe\.yaml in .*did you mean smoke"):
        read_design("smkoe", CONFIGS, {})


@pytest.mark.parametrize("text", ["", "- a\n"])
def test_a_preset_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SemclError, match=r"mine\.yaml is not an overlay"):
        read_design(str(overlay(tmp_path, "mine", text)), CONFIGS, {})


# the command line


def test_what_is_given_replaces_the_preset_s(tmp_path: Path) -> None:
    path = str(preset_of(tmp_path))
    given = {"strategies": ["organ"], "labels": ["10%"], "seeds": 4, "budget": 30.0, "budgets": [0.5], "folds": 3}
    found = read_design(path, CONFIGS, {**given, "baseline": None, "overlays": None})
    assert found == design_of(**given, overlays=[])
    assert read_design(path, CONFIGS, dict.fromkeys(given)) == design_of(overlays=[])


def test_a_budget_of_nothing_replaces_the_preset_s_too(tmp_path: Path) -> None:
    found = read_design(str(preset_of(tmp_path, budget=60)), CONFIGS, {"budget": 0.0})
    assert found.budget == 0
    assert [cell.budget for cell in found.cells] == [None]


def test_overlays_come_after_the_preset_s(tmp_path: Path) -> None:
    path = str(preset_of(tmp_path, overlays=["standard"]))
    mine = str(overlay(tmp_path, "more", "margin: 4\npatch_size: 96\n"))
    with_mine = read_design(path, CONFIGS, {"overlays": [mine]})
    assert with_mine.overlays == read_design(path, CONFIGS, {"overlays": None}).overlays == ["standard"]
    assert {**with_mine.all_numbers(CONFIGS), "margin": 4, "patch_size": 96} == with_mine.all_numbers(CONFIGS)


def test_an_overlay_s_key_of_one_stage_goes_before_the_preset_s_key_of_all(tmp_path: Path) -> None:
    path = str(preset_of(tmp_path, numbers={"clusters_per_batch": 2, "spacing": [1, 1, 0]}))
    mine = str(overlay(tmp_path, "other", "train.clusters_per_batch: 8\n"))
    found = read_design(path, CONFIGS, {"overlays": [mine]}).all_numbers(CONFIGS)
    assert KEYS.part("train", found) == {"spacing": [1, 1, 0], "clusters_per_batch": 8}
    assert KEYS.part("pretrain", found) == {"spacing": [1, 1, 0], "clusters_per_batch": 2}


def test_an_overlay_for_some_stages_leaves_the_preset_s_numbers_to_the_others(tmp_path: Path) -> None:
    path = str(preset_of(tmp_path, numbers={"clusters_per_batch": 2, "spacing": [1, 1, 0]}))
    mine = str(overlay(tmp_path, "other", "stages: [train]\nclusters_per_batch: 8\ntrain.margin: 4\n"))
    found = read_design(path, CONFIGS, {"overlays": [mine]}).all_numbers(CONFIGS)
    assert KEYS.part("train", found) == {"spacing": [1, 1, 0], "clusters_per_batch": 8, "margin": 4}
    assert KEYS.part("pretrain", found) == {"spacing": [1, 1, 0], "clusters_per_batch": 2}
    assert KEYS.part("store", found) == {"spacing": [1, 1, 0]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stages: [segment]\nlearning_rat: 0.1\n",
            "none of the stages segment reads learning_rat\n.*did you mean learning_r",
        ),
        ("stages: [segment]\ntrain.margin: 4\n", r"none of the stages segment reads train\.margin"),
        ("stages: [segmnt]\nlearning_rate: 0.1\n", "segmnt"),
    ],
)
def test_a_key_that_an_overlay_s_stages_do_not_read_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SemclError, match=f"(?s){message}"):
        read_design(str(preset_of(tmp_path)), CONFIGS, {"overlays": [str(overlay(tmp_path, "other", text))]})


# cells


def test_cells_are_every_amount_of_labels_with_every_budget() -> None:
    found = design_of(labels=["2", "50%"], budget=60, budgets=[0.5, 1, 2]).cells
    assert found == tuple(
        Cell(amount, budget) for amount in (Amount(patients=2), Amount(share=0.5)) for budget in (30.0, 60.0, 120.0)
    )
    assert [cell.name for cell in found[:2]] == ["2 patients, 30 s", "2 patients, 60 s"]


def test_without_a_budget_the_configs_lengths_hold() -> None:
    assert design_of(budget=0).cells == (Cell(Amount(patients=2), None),)


@pytest.mark.parametrize("changes", [{"budgets": []}, {"budgets": [1, 1.0]}, {"budgets": [0]}, {"budget": -1}])
def test_budgets_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SemclError, match=r"(?s)budgets must be given, each only once.*set --budget"):
        _ = design_of(**({"budget": 60} | changes)).cells


def test_labels_of_a_design_are_checked() -> None:
    with pytest.raises(SemclError, match="not an amount of labels"):
        _ = design_of(labels=["0.5"]).cells


# numbers for all stages


def test_numbers_are_those_of_overlays_in_order_then_the_design_s_own(tmp_path: Path) -> None:
    one = str(overlay(tmp_path, "one", "compile: true\npatch_size: 32\nwidths: [4, 4, 4, 4]\n"))
    other = str(overlay(tmp_path, "other", "patch_size: 48\ncoarse.max_epochs: 3\n"))
    found = design_of(overlays=[one, other], numbers={"compile": False}).all_numbers(CONFIGS)
    assert found == {"compile": False, "patch_size": 48, "coarse.max_epochs": 3, "widths": [4, 4, 4, 4]}


def test_overlays_that_ship_are_found_by_name() -> None:
    assert design_of(overlays=["standard"]).all_numbers(CONFIGS) == yaml.safe_load(
        (CONFIGS / "standard.yaml").read_text()
    )


def test_numbers_of_an_overlay_for_some_stages_are_for_those_that_read_them(tmp_path: Path) -> None:
    mine = str(overlay(tmp_path, "mine", "stages: [pretrain, inference]\npatch_size: 32\nlearning_rate: 0.1\n"))
    found = design_of(overlays=[mine]).all_numbers(CONFIGS)
    assert found == {"pretrain.patch_size": 32, "inference.patch_size": 32, "pretrain.learning_rate": 0.1}


def test_the_paper_s_recipe_leaves_other_stages_their_optimizer_and_loss() -> None:
    found = design_of(overlays=["faithful"]).all_numbers(CONFIGS)
    assert {"pretrain.optimizer", "train.segmentation_loss", "store.patch_size"} <= set(found)
    assert {key.partition(".")[0] for key in found} == {"store", "pretrain", "train", "inference", "embed"}


@pytest.mark.parametrize(
    ("name", "message"),
    [("fats", r"there is no such overlay.*no fats.*set --overlay"), ("train", r"train\.yaml is the config of a stage")],
)
def test_what_is_no_overlay_is_refused(name: str, message: str) -> None:
    with pytest.raises(SemclError, match=f"(?s){message}"):
        design_of(overlays=[name]).all_numbers(CONFIGS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("equivalence: 0,01", "a number from 0 to 1"),
        ("equivalence: -0.01", "a number from 0 to 1"),
        ("labels: 2", "a list of numbers of patients"),
        ("budgets: 2", "a list of numbers"),
        ("budget: 4min", "seconds, 0 or more"),
        ("seeds: three", "a whole number, 1 or more"),
        ("folds: true", "a whole number, 0 or more"),
        ("contrasts: semantic - scratch", "a list of texts"),
        ("numbers: [1]", "keys with their values"),
        ("embeddings: 1", "true or false"),
        ("baseline:", "a text"),
    ],
)
def test_a_preset_with_a_wrong_value_is_refused(tmp_path: Path, line: str, expected: str) -> None:
    content = yaml.safe_load((CONFIGS / "studies/hippocampus.yaml").read_text())
    key = line.partition(":")[0]
    path = overlay(tmp_path, "mine", yaml.safe_dump(content | yaml.safe_load(line)))
    with pytest.raises(SemclError, match=rf"(?s){key} of a study is wrong.*mine\.yaml.*{expected}"):
        read_design(str(path), CONFIGS, {})


@pytest.mark.parametrize(("key", "meant"), [("contrasts", []), ("overlays", []), ("numbers", {})])
def test_keys_of_a_preset_may_be_empty(tmp_path: Path, key: str, meant: object) -> None:
    content = yaml.safe_load((CONFIGS / "studies/hippocampus.yaml").read_text())
    path = overlay(tmp_path, "mine", yaml.safe_dump({**content, key: None}))
    assert getattr(read_design(str(path), CONFIGS, {}), key) == meant


def test_multiples_of_no_budget_are_refused() -> None:
    with pytest.raises(SemclError, match=r"(?s)multiples of no budget.*times 1, 2.*--budgets 1"):
        _ = design_of(budget=0, budgets=[1, 2]).cells


def test_an_overlay_s_key_replaces_what_a_preset_has_for_one_stage(tmp_path: Path) -> None:
    mine = overlay(tmp_path, "mine", "clusters_per_batch: 16")
    preset = read_design("small", CONFIGS, {})
    assert preset.all_numbers(CONFIGS)["train.clusters_per_batch"] == 6
    numbers = read_design("small", CONFIGS, {"overlays": [str(mine)]}).all_numbers(CONFIGS)
    assert {key: value for key, value in numbers.items() if "clusters_per_batch" in key} == {"clusters_per_batch": 16}


# contrasts


def test_contrasts_are_of_two_or_of_one_and_the_best_of_several() -> None:
    found = parse_contrasts(["semantic - scratch", "semantic - a,  b , c"], ["semantic", "scratch", "a", "b", "c"])
    assert found == [Contrast("semantic", ("scratch",)), Contrast("semantic", ("a", "b", "c"))]


def test_names_with_dashes_are_parted_at_spaced_ones() -> None:
    names = ["semantic-dense", "scratch-short"]
    assert parse_contrasts(["semantic-dense - scratch-short"], names) == [
        Contrast("semantic-dense", ("scratch-short",))
    ]


def test_contrasts_of_strategies_that_are_not_run_are_left_out() -> None:
    texts = ["semantic - scratch", "semantic - a, b", "c - scratch", f"semantic - {FLOOR}", "semantic - scratch, c"]
    assert parse_contrasts(texts, ["semantic", "scratch", "b"], ["a", "c"]) == [
        Contrast("semantic", ("scratch",)),
        Contrast("semantic", ("b",)),
        Contrast("semantic", (FLOOR,)),
    ]
    assert parse_contrasts(["semantic - a"], ["semantic"], ["a"]) == []
    floorless = parse_contrasts([f"a - b, {FLOOR}", f"a - {FLOOR}"], ["a", "b"], floor=False)
    assert floorless == [Contrast("a", ("b",))]  # which has no maps that are refined


def test_the_coarse_map_may_come_first() -> None:
    assert parse_contrasts([f"{FLOOR} - scratch"], ["scratch"]) == [Contrast(FLOOR, ("scratch",))]


def test_a_contrast_of_a_strategy_that_there_is_not_is_refused() -> None:
    with pytest.raises(
        SemclError, match=r"(?s)names a strategy that there is not.*semntic in.*did you mean semantic\?"
    ):
        parse_contrasts(["semntic - scratch"], ["scratch"], ["semantic"])


@pytest.mark.parametrize("text", ["semantic", "semantic-scratch", "semantic - ", " - scratch", "a - a", "a - b, a", 3])
def test_a_contrast_that_cannot_be_understood_is_refused(text: Any) -> None:
    with pytest.raises(SemclError, match=r"(?s)a contrast cannot be understood.*first - second.*for example: semantic"):
        parse_contrasts([text], ["semantic", "scratch", "a", "b"])
