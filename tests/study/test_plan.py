"""Plans: runs, cells, label maps of each seed, and what is checked before anything runs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort import datalist
from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.study import plan as module
from scripts.study.labels import Amount
from scripts.study.plan import Cell, Plan
from scripts.study.strategy import find_strategies
from scripts.study.sweep import swept
from tests.study.made import (
    KEYS,
    SHIPPED,
    TABLE,
    cells_of,
    copied_bundle,
    made_plan,
    overlay,
    strategy_file,
    write_cases,
)

# runs


def test_runs_are_every_strategy_of_every_cell_split_and_seed(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, folds=3, cells=cells_of(["2", "100%"], [10.0, 20.0]))
    cells = [(labels, budget) for labels in ("2 patients", "100%") for budget in (10.0, 20.0)]
    assert [
        (run.seed, run.split, (run.cell.labels.name, run.cell.budget), run.strategy.name) for run in plan.runs()
    ] == list(itertools.product((0, 1), plan.splits, cells, ("scratch", "semantic")))


def test_a_run_and_a_cell_in_words(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, cells=cells_of(["2"], [60.0]))
    assert plan.runs()[1].title == "semantic, 2 patients, 60 s, split own, seed 0"
    assert Cell(Amount(share=0.1), None).name == "10%"


# label maps


def test_every_datalist_names_the_label_maps_of_its_share_alone(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, folds=2, cells=cells_of(["2", "3"], [10.0, 20.0]))
    plan.write_datalists()
    written = sorted(path.parent for path in (plan.out / "splits").rglob("datalist.json"))
    assert len(written) == 2 * 2 * 2  # whatever the budgets
    for split, count, seed in itertools.product(plan.splits, (2, 3), (0, 1)):
        folder = plan.dataset_dir(split, Amount(patients=count), seed)
        found = datalist.load(folder)
        assert sorted(found, key=lambda case: case.id) == plan.members(split, Amount(patients=count), seed)
        assert len({case.patient for case in found if case.fold is not None and case.label}) == count


def test_strategies_that_cross_fit_need_two_patients(tmp_path: Path) -> None:
    assert made_plan(tmp_path / "1", ["coarse"]).least == 1
    mine = strategy_file(tmp_path, "mine")
    assert made_plan(tmp_path / "2", ["coarse", mine]).least == 2
    elsewhere = made_plan(tmp_path / "3", ["coarse", mine], attention_dir=tmp_path / "3" / "cohort" / "attention")
    assert elsewhere.least == 1
    assert made_plan(tmp_path / "4", [mine], numbers={"labelled_maps": "simulated"}).least == 1
    assert made_plan(tmp_path / "5", ["scratch", "multiclass"]).least == 1


def test_too_few_patients_for_a_strategy_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, [strategy_file(tmp_path, "mine")], cells=cells_of(["1"]))
    with pytest.raises(SemclError, match=r"(?s)1 patient of labels cannot be drawn.*2 or more: with cross-fitting"):
        plan.write_datalists()
    assert not plan.out.exists()
    made_plan(tmp_path, ["coarse"], cells=cells_of(["1"])).write_datalists()


# what results depend on


def cohort_of(folder: Path) -> list[Case]:
    return write_cases(folder / "cohort")


def data(plan: Plan, **changes: object) -> str:
    """The hash of the data of a run, as files now are."""
    module._checksum.cache_clear()
    return replace(plan, **changes).data("own", Amount(patients=2), 0)


def drawn(plan: Plan) -> tuple[Path, Path]:
    """A label map that seed 0 draws, and one that it does not."""
    known = [case.label for case in plan.members("own", Amount(patients=2), 0) if case.fold is not None]
    others = [case.label for case in plan.cases if case.fold is not None and case.label not in known]
    return next(path for path in known if path), next(path for path in others if path)


def test_the_data_of_a_run_change_with_the_label_maps_it_may_see_and_with_no_other(tmp_path: Path) -> None:
    plan = made_plan(tmp_path)
    was, (mine, others) = data(plan), drawn(plan)
    others.write_text("garbage")
    assert data(plan) == was
    mine.write_text("another drawing")
    assert data(plan) != was


def test_the_data_of_a_run_change_with_tested_label_maps_cases_and_table(tmp_path: Path) -> None:
    plan = made_plan(tmp_path)
    was = data(plan)
    assert data(plan, table=replace(TABLE, phases=TABLE.phases[::-1])) != was
    assert data(plan, splits={"own": plan.splits["own"][:-1]}) != was
    tested = next(case.label for case in plan.cases if case.fold is None)
    assert tested is not None
    tested.write_text("another drawing")
    assert data(plan) != was


def test_the_data_of_a_run_change_with_images(tmp_path: Path) -> None:
    plan = made_plan(tmp_path)
    was, image = data(plan), plan.members("own", Amount(patients=2), 0)[0].image
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_text("another scan")
    assert data(plan) != was


def test_the_data_of_a_run_change_with_attention_made_elsewhere(tmp_path: Path) -> None:
    attention = tmp_path / "cohort" / "attention"
    plan = made_plan(tmp_path, attention_dir=attention)
    was = data(plan)
    assert was != data(plan, attention_dir=None)
    (attention / "p0_portal.nii.gz").write_text("another map")
    assert data(plan) != was


def test_settings_are_of_a_strategy_s_stages_and_their_numbers(tmp_path: Path) -> None:
    plan = made_plan(
        tmp_path, ["multiclass", "scratch", "semantic"], numbers={"precision": "bfloat16", "segment.learning_rate": 0.1}
    )
    multiclass, scratch, semantic = (plan.settings(strategy) for strategy in plan.strategies)
    assert [name for name in semantic if name not in ("stages", "version")] == [
        "segment", "pretrain", "train", "store", "inference",
    ]  # fmt: skip
    given = {"precision": "bfloat16", "learning_rate": "0.1"}
    assert multiclass["segment"][1] == given
    assert scratch["segment"][1] == semantic["segment"][1] == given | {"coarse_dims": "2"}
    assert semantic["pretrain"][1] == {"precision": "bfloat16", "meaning": "cluster"}


def test_stages_that_need_it_are_told_that_a_plain_network_makes_the_maps(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine")
    plan = made_plan(tmp_path, ["semantic", mine, "multiclass"])
    semantic, *others = plan.strategies
    stages = ("segment", "inference")
    assert all("coarse_dims" in KEYS.read_by(stage) for stage in stages)
    assert [plan.numbers_of(semantic, stage)["coarse_dims"] for stage in stages] == [2, 2]
    assert "coarse_dims" not in plan.numbers_of(semantic, "train")  # which is given weights to begin with
    assert not any("coarse_dims" in plan.numbers_of(one, stage) for one in others for stage in stages)
    elsewhere = replace(plan, attention_dir=tmp_path / "cohort" / "attention")
    assert not any("coarse_dims" in elsewhere.numbers_of(semantic, stage) for stage in stages)


def test_settings_change_with_a_number_of_the_bundle_s_configs(tmp_path: Path) -> None:
    bundle = copied_bundle(tmp_path / "bundle")
    was = [made_plan(tmp_path, bundle=bundle).settings(one) for one in made_plan(tmp_path, bundle=bundle).strategies]
    config = bundle / "configs" / "pretrain.yaml"
    assert "temperature: 0.1" in config.read_text()
    config.write_text(config.read_text().replace("temperature: 0.1", "temperature: 0.2"))
    plan = made_plan(tmp_path, bundle=bundle)
    scratch, semantic = (plan.settings(one) for one in plan.strategies)
    assert scratch == was[0]
    assert [name for name in semantic if semantic[name] != was[1][name]] == ["pretrain"]


def test_a_strategy_s_numbers_go_before_the_study_s(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine", "learning_rate: 0.3\n")
    plan = made_plan(tmp_path, [mine], numbers={"learning_rate": 0.1, "precision": "bfloat16"})
    assert plan.numbers_of(plan.strategies[0], "train") == {"learning_rate": 0.3, "precision": "bfloat16"}


def test_with_attention_made_elsewhere_no_coarse_network_is_trained(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine")
    slices = strategy_file(tmp_path, "slices", stages="{pretrain_slices: 0.2, segment: 0.4, train: 0.4}")
    names = ["scratch", "semantic", mine, slices, "multiclass-simclr"]
    plan = made_plan(tmp_path, names, attention_dir=tmp_path / "cohort" / "attention")
    assert [plan.stages(strategy) for strategy in plan.strategies] == [
        ["train", "store", "inference"],
        ["pretrain", "train", "store", "embed", "inference"],
        ["train", "store", "inference"],
        ["train", "store", "inference"],
        ["pretrain_slices", "segment", "segment_inference"],
    ]  # fmt: skip


# checked before it runs


@pytest.mark.parametrize("name", SHIPPED)
def test_the_configs_of_every_strategy_that_ships_pass(tmp_path: Path, name: str) -> None:
    made_plan(tmp_path, [name]).check()


def test_a_key_inside_of_another_that_a_stage_does_not_have_is_named(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "views", "train#views#rotation: 3.0\n")
    with pytest.raises(SemclError, match=r"(?s)views, coarse: overlays that cannot be merged.*train#views#rot"):
        made_plan(tmp_path, [mine]).check()
    turned = swept(find_strategies(["semantic"], KEYS), "pretrain.train#views#rotation=3.0,4.0", KEYS)
    made_plan(tmp_path / "swept", strategies=["semantic"]).check()
    replace(made_plan(tmp_path / "swept"), strategies=tuple(turned)).check()


def test_a_value_of_the_wrong_kind_is_named_with_strategy_and_stage(tmp_path: Path) -> None:
    at = swept(find_strategies(["semantic"], KEYS), "temperature=0.1,high", KEYS)
    with pytest.raises(
        SemclError, match=r"(?s)semantic temperature=high, pretrain: --temperature is of the wrong kind"
    ):
        replace(made_plan(tmp_path), strategies=tuple(at)).check()
    path = str(overlay(tmp_path, "warm", "stages: {coarse: 0.5, train: 0.5}\nlearning_rate: high\n"))
    with pytest.raises(SemclError, match=r"(?s)warm, train: --learning_rate is of the wrong kind"):
        made_plan(tmp_path, [path]).check()
