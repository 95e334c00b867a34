"""The steps of runs: what is shared, what is trained anew, what needs what, and how long each stage takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.coarse.map_plan import MapPlan
from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.study.budget import Cost
from scripts.study.pipeline import Pipelines
from scripts.study.step import Step
from tests.study.made import (
    COSTS,
    SHIPPED,
    cells_of,
    copied_bundle,
    costs_of,
    made_pipelines,
    made_plan,
    run_of,
    steps_of,
    strategy_file,
    write_cases,
)

BUDGET = 120.0


@pytest.fixture
def pipelines(tmp_path: Path) -> Pipelines:
    """Six strategies without a budget."""
    return made_pipelines(made_plan(tmp_path, ["coarse", "scratch", "scratch-short", "simclr", "organ", "semantic"]))


def budgeted(folder: Path, strategies: list[str], budgets: tuple[float, ...] = (BUDGET,)) -> Pipelines:
    return made_pipelines(made_plan(folder, strategies, cells=cells_of(["2", "100%"], budgets)))


# order and needs


def test_the_stages_of_strategies_in_order(pipelines: Pipelines) -> None:
    assert [step.stage for step in pipelines.steps(run_of(pipelines.plan, "coarse"))] == ["coarse"]
    assert list(steps_of(pipelines, "scratch")) == ["segment", "store", "train", "inference"]
    assert list(steps_of(pipelines, "semantic")) == ["segment", "store", "pretrain", "embed", "train", "inference"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_strategy_ends_with_predictions_and_no_step_comes_before_what_it_needs(tmp_path: Path, name: str) -> None:
    found = made_pipelines(made_plan(tmp_path, [name]))
    steps = found.steps(found.plan.runs()[0])
    assert steps[-1].predicts is not None
    for number, step in enumerate(steps):
        assert set(step.needs) <= set(steps[:number])
    assert len({step.folder for step in steps}) == len(steps)
    assert {"store", "inference", "coarse"} >= {step.stage for step in steps} - set(found.plan.strategies[0].stages) - {
        "embed", "segment_inference",
    }  # fmt: skip


def test_stages_read_what_those_before_them_left(pipelines: Pipelines) -> None:
    found = steps_of(pipelines, "semantic")
    for stage in ("store", "pretrain", "embed", "train", "inference"):
        assert found[stage].overrides["attention_dir"] == str(found["segment"].folder / "attention")
        assert found["segment"] in found[stage].needs
    for stage in ("pretrain", "embed", "train"):
        assert found[stage].overrides["store_dir"] == str(found["store"].folder / "store")
        assert found["store"] in found[stage].needs
    assert found["train"].overrides["encoder_weights"] == str(found["pretrain"].folder / "models" / "encoder.pt")
    assert found["embed"].overrides["ckpt_dir"] == str(found["pretrain"].folder / "models")
    assert found["inference"].overrides["ckpt_dir"] == str(found["train"].folder / "models")
    assert found["segment"].predicts == found["segment"].folder / "attention"
    assert found["inference"].predicts == found["inference"].folder / "predictions"


def begun_with(steps: dict[str, Step], stage: str) -> tuple[str | None, str | None]:
    """The encoder of a pretraining, and the other weights, that a stage begins with."""
    return steps[stage].overrides["encoder_weights"], steps[stage].overrides["initial_weights"]


def test_encoders_begin_with_that_of_the_network_that_made_the_maps(pipelines: Pipelines) -> None:
    scratch, semantic = steps_of(pipelines, "scratch"), steps_of(pipelines, "semantic")
    coarse = str(scratch["segment"].folder / "models" / "coarse.pt")
    assert begun_with(scratch, "train") == (None, coarse)
    assert semantic["pretrain"].overrides["initial_weights"] == coarse
    assert begun_with(semantic, "train") == (str(semantic["pretrain"].folder / "models" / "encoder.pt"), None)


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("train.widths: [8, 8, 8, 8]\n", False),
        ("widths: [8, 8, 8, 8]\n", True),
        ("segment.layers: [1, 1, 1, 1]\n", True),  # what common.yaml has
        ("spatial_dims: 3\n", False),
        ("encoder: {_target_: Other}\n", False),
        ("encoder#stride: 4\n", False),
    ],
)
def test_an_encoder_of_another_kind_begins_with_random_weights(tmp_path: Path, text: str, alike: bool) -> None:
    mine = strategy_file(tmp_path, "mine", text, "{segment: 0.6, train: 0.4}")
    found = steps_of(made_pipelines(made_plan(tmp_path, [mine])), "mine")
    coarse = str(found["segment"].folder / "models" / "coarse.pt")
    assert begun_with(found, "train") == (None, coarse if alike else None)


def test_the_network_that_makes_the_maps_may_be_pretrained_on_slices(tmp_path: Path) -> None:
    stages = "{pretrain_slices: 0.1, segment: 0.5, pretrain: 0.1, train: 0.3}"
    mine = strategy_file(tmp_path, "mine", stages=stages)
    found = steps_of(made_pipelines(made_plan(tmp_path, [mine], embeddings=False)), "mine")
    assert list(found) == ["pretrain_slices", "segment", "store", "pretrain", "train", "inference"]
    assert found["segment"].needs == (found["pretrain_slices"],)
    assert found["segment"].overrides["encoder_weights"] == str(
        found["pretrain_slices"].folder / "models" / "encoder.pt"
    )
    assert found["pretrain_slices"] not in found["train"].needs


def test_a_plain_network_begins_with_the_weights_that_were_pretrained_on_queries(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine")
    found = made_pipelines(made_plan(tmp_path, ["segresnet-semantic", mine, "segresnet"]))
    plain, refined, untrained = (
        {step.stage: step for step in found.steps(run)} for run in found.plan.runs()[:3]
    )  # fmt: skip
    given = plain["segment"].overrides
    assert given["initial_weights"] == str(plain["pretrain"].folder / "models" / "encoder.pt")
    assert given["encoder_weights"] is None
    assert plain["pretrain"] in plain["segment"].needs
    assert plain["coarse"].overrides["labelled_maps"] == "simulated"  # its maps only say where cubes lie
    assert "labelled_maps" not in refined["coarse"].overrides
    assert "initial_weights" not in untrained["segment"].overrides
    assert "initial_weights" not in refined["train"].overrides


def test_self_training_goes_on_from_what_the_refiner_makes_of_scans_without_label_maps(tmp_path: Path) -> None:
    pipelines = budgeted(tmp_path, ["scratch", "self-training"], (200.0,))
    found = steps_of(pipelines, "self-training")
    stages = ["segment", "store", "train", "pseudo_labels", "self_training", "inference"]
    assert list(found) == stages
    pseudo, taught = found["pseudo_labels"], found["self_training"]
    assert (pseudo.stage, taught.stage) == ("inference", "segment")
    assert pseudo.overrides["ckpt_dir"] == found["inference"].overrides["ckpt_dir"] == f"{found['train'].folder}/models"
    assert pseudo.overrides["attention_dir"] == str(found["segment"].folder / "attention")
    assert taught.overrides["pseudo_dir"] == f"{pseudo.folder}/pseudo"
    assert taught.overrides["initial_weights"] == f"{found['segment'].folder}/models/coarse.pt"
    assert taught.overrides["coarse_dims"] == 2
    assert set(taught.needs) == {found["segment"], pseudo}
    assert found["inference"].overrides["attention_dir"] == str(taught.predicts)
    assert set(found["inference"].needs) == {found["segment"], found["train"], taught}
    assert [step.counts for step in found.values()] == [True] * 5 + [False]
    assert pipelines.coarse_map(run_of(pipelines.plan, "self-training")) is taught
    cases = pipelines.plan.members("own", pipelines.plan.cells[0].labels, 0)
    training = [case for case in cases if case.fold is not None]
    lacking = sum(case.label is None for case in training)
    fixed = 0.5 + 0.75 * lacking + 0.5 + 0.25 * len(training)
    steps = taught.overrides["max_epochs"] * taught.overrides["epoch_length"]
    assert fixed + steps * 0.25 == pytest.approx(taught.seconds)
    assert 0.2 * 200 - 0.5 < taught.seconds <= 0.2 * 200


def test_a_plain_network_goes_on_with_its_own_pseudo_labels(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, ["multiclass", "multiclass-self-training"], cells=cells_of(["2"], [200.0, None]))
    pipelines = made_pipelines(plan)
    steps = pipelines.steps(run_of(plan, "multiclass-self-training"))
    assert [step.folder.name.split()[0] for step in steps] == [
        "segment", "plain_pseudo_labels", "self_training", "segment_inference",
    ]  # fmt: skip
    first, pseudo, taught, end = steps
    assert (pseudo.stage, pseudo.overrides["ckpt_dir"]) == ("segment_inference", f"{first.folder}/models")
    assert (pseudo.predicts, taught.predicts, end.counts) == (None, None, False)
    assert taught.overrides["initial_weights"] == f"{first.folder}/models/segment.pt"
    assert taught.overrides["pseudo_dir"] == f"{pseudo.folder}/pseudo"
    assert "coarse_dims" not in taught.overrides
    assert end.overrides["ckpt_dir"] == f"{taught.folder}/models"
    assert set(end.needs) == {taught}
    plain, more = (pipelines.steps(run_of(plan, name, cell=1)) for name in ("multiclass", "multiclass-self-training"))
    assert plain[0] is more[0]  # without a budget it is as long


def test_where_every_scan_has_a_label_map_there_is_no_self_training_and_training_gets_its_share(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cohort", unlabelled=0)
    plan = made_plan(tmp_path, ["scratch", "self-training"], cases=cases, cells=cells_of(["2", "100%"], [200.0]))
    pipelines = made_pipelines(plan)
    assert "self_training" in steps_of(pipelines, "self-training")
    found = steps_of(pipelines, "self-training", cell=1)
    assert list(found) == ["segment", "store", "train", "inference"]
    assert plan.shares(run_of(plan, "self-training", cell=1)) == {"segment": 0.5, "train": pytest.approx(0.5)}
    assert 0.5 * 200 - 0.5 < found["train"].seconds <= 0.5 * 200


def test_no_more_pseudo_labels_are_made_and_paid_than_are_asked_for(tmp_path: Path) -> None:
    few, all_ = (
        made_pipelines(made_plan(tmp_path, ["self-training"], cells=cells_of(["2"], [200.0]), numbers=numbers))
        for numbers in ({"pseudo_cases": 1}, {})
    )
    one, every = (steps_of(pipelines, "self-training") for pipelines in (few, all_))
    assert one["pseudo_labels"].overrides["pseudo_cases"] == one["self_training"].overrides["pseudo_cases"] == 1
    steps = [
        found["self_training"].overrides["max_epochs"] * found["self_training"].overrides["epoch_length"]
        for found in (one, every)
    ]
    assert steps[0] > steps[1]


@pytest.mark.parametrize(
    ("strategy", "capped"), [("multiclass", True), ("multiclass-teacher", False), ("scratch", False)]
)
def test_a_plain_network_pays_for_the_scans_it_looks_at(tmp_path: Path, strategy: str, capped: bool) -> None:
    few, every = (
        made_pipelines(made_plan(tmp_path, [strategy], cells=cells_of(["2"], [200.0]), numbers=numbers))
        for numbers in ({"pseudo_cases": 1}, {})
    )
    lengths = [pipelines.length(run_of(pipelines.plan, strategy), "segment") for pipelines in (few, every)]
    assert (lengths[0].steps > lengths[1].steps) is capped  # a teacher reads all, and maps are made of all


def test_where_maps_are_given_there_is_no_self_training(tmp_path: Path) -> None:
    folder = tmp_path / "cohort" / "attention"
    plan = made_plan(tmp_path, ["self-training"], attention_dir=folder, cells=cells_of(["2"], [200.0]))
    found = steps_of(made_pipelines(plan), "self-training")
    assert list(found) == ["store", "train", "inference"]
    assert plan.shares(run_of(plan, "self-training")) == {"train": pytest.approx(1)}


def test_every_stage_reads_the_datalist_of_its_share(tmp_path: Path) -> None:
    found = made_pipelines(made_plan(tmp_path, cells=cells_of(["2", "4"])))
    found.plan.write_datalists()
    for run in found.plan.runs():
        for step in found.steps(run):
            cases = datalist.load(step.overrides["dataset_dir"])
            known = {case.patient for case in cases if case.fold is not None and case.label is not None}
            assert len(known) == run.cell.labels.patients
            assert step.overrides["seed"] == run.seed


def test_embeddings_are_optional_and_only_where_they_are_asked_for(pipelines: Pipelines) -> None:
    embed = steps_of(pipelines, "semantic")["embed"]
    assert (embed.optional, embed.counts, embed.predicts) == (True, False, None)
    without = Pipelines(replace(pipelines.plan, embeddings=False), None)
    assert "embed" not in steps_of(without, "semantic")


def test_maps_made_elsewhere_are_read_by_all(tmp_path: Path) -> None:
    attention = tmp_path / "cohort" / "attention"
    found = steps_of(made_pipelines(made_plan(tmp_path, attention_dir=attention)), "semantic")
    assert list(found) == ["store", "pretrain", "embed", "train", "inference"]
    assert {step.overrides["attention_dir"] for step in found.values()} == {str(attention)}
    assert not any({"coarse_dims", "initial_weights"} & step.overrides.keys() for step in found.values())


def test_a_plain_network_in_the_coarse_network_s_place_is_not_that_which_predicts_itself(tmp_path: Path) -> None:
    found = made_pipelines(made_plan(tmp_path, ["scratch", "multiclass"]))
    maps, alone = (steps_of(found, name)["segment"] for name in ("scratch", "multiclass"))
    assert maps is not alone
    assert (maps.makes_maps, alone.makes_maps, alone.predicts) == (True, False, None)
    assert (maps.overrides["coarse_dims"], "coarse_dims" in alone.overrides) == (2, False)
    assert found.coarse_map(run_of(found.plan, "scratch")) is maps
    assert found.coarse_map(run_of(found.plan, "multiclass")) is None


def test_the_maps_of_a_coarse_network_that_is_not_refined_are_not_cross_fitted(tmp_path: Path) -> None:
    found = made_pipelines(made_plan(tmp_path, ["coarse", strategy_file(tmp_path, "mine")]))
    alone, refined = (steps_of(found, name)["coarse"] for name in ("coarse", "mine"))
    assert alone.overrides["labelled_maps"] == "none"
    assert "labelled_maps" not in refined.overrides
    assert not {"coarse_dims", "initial_weights"} & (
        refined.overrides.keys() | steps_of(found, "mine")["train"].overrides
    )
    assert found.coarse_map(run_of(found.plan, "mine")) is refined
    assert found.coarse_map(run_of(found.plan, "coarse")) is None


# sharing


def test_strategies_share_the_stages_that_are_the_same_for_both(pipelines: Pipelines) -> None:
    semantic, simclr, scratch = (steps_of(pipelines, name) for name in ("semantic", "simclr", "scratch"))
    assert semantic["segment"] is simclr["segment"] is scratch["segment"]
    assert semantic["store"] is simclr["store"] is scratch["store"]
    for stage in ("pretrain", "train", "inference"):
        assert semantic[stage] is not simclr.get(stage)
        assert semantic[stage].folder != simclr[stage].folder


def test_without_a_budget_scratch_and_its_short_form_are_one(pipelines: Pipelines) -> None:
    assert steps_of(pipelines, "scratch")["inference"] is steps_of(pipelines, "scratch-short")["inference"]


def test_nothing_is_shared_between_seeds_and_amounts_of_labels(tmp_path: Path) -> None:
    found = made_pipelines(made_plan(tmp_path, cells=cells_of(["2", "4"])))
    seen: dict[Path, tuple[object, ...]] = {}
    for run in found.plan.runs():
        for step in found.steps(run):
            place = run.split, run.cell, run.seed
            assert seen.setdefault(step.folder, place) == place


def folders(pipelines: Pipelines, strategy: str = "semantic") -> dict[str, str]:
    """Stage -> name of its folder, of the first run of a strategy."""
    return {stage: step.folder.name for stage, step in steps_of(pipelines, strategy).items()}


@pytest.mark.parametrize(
    ("numbers", "kept"),
    [
        ({"segment.learning_rate": 0.1}, set()),
        ({"extend": 2}, {"segment"}),
        ({"temperature": 0.2}, {"segment", "store"}),
        ({"train.learning_rate": 0.1}, {"segment", "store", "pretrain", "embed"}),
        ({"certain": 0.7}, {"segment", "store", "pretrain", "embed", "train"}),
        ({"widths": [8, 8, 8, 8]}, set()),  # of the plain network too
        ({"coarse_channels": [4, 8]}, {"segment", "store", "pretrain", "embed", "train"}),
    ],
)
def test_a_changed_number_gives_its_stage_and_all_after_it_other_folders(
    tmp_path: Path, numbers: dict[str, object], kept: set[str]
) -> None:
    plan = made_plan(tmp_path)
    before, after = (folders(made_pipelines(one)) for one in (plan, replace(plan, numbers=numbers)))
    assert {stage for stage in before if before[stage] == after[stage]} == kept


def test_a_changed_config_gives_its_stage_and_all_after_it_other_folders(tmp_path: Path) -> None:
    bundle = copied_bundle(tmp_path / "bundle")
    before = folders(made_pipelines(made_plan(tmp_path, bundle=bundle)))
    config = bundle / "configs" / "pretrain.yaml"
    config.write_text(config.read_text().replace("temperature: 0.1", "temperature: 0.2"))
    after = folders(made_pipelines(made_plan(tmp_path, bundle=bundle)))
    assert {stage for stage in before if before[stage] == after[stage]} == {"segment", "store"}


def test_strategies_of_the_same_numbers_share_all_whatever_their_names(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine", "meaning: cluster\n", "{segment: 0.6, pretrain: 0.15, train: 0.25}")
    found = made_pipelines(made_plan(tmp_path, ["semantic", mine]))
    assert found.steps(run_of(found.plan, "semantic")) == found.steps(run_of(found.plan, "mine"))


def test_folders_stay_within_the_study_whatever_a_strategy_is_called(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "a b%20c", "compile: ../../x\n")
    found = made_pipelines(made_plan(tmp_path, [mine]))
    for run in found.plan.runs():
        for step in found.steps(run):
            assert step.folder.resolve().is_relative_to(found.plan.out / "runs" / "own" / "2 patients")


# budgets


def planned(pipelines: Pipelines, strategy: str, cell: int) -> float:
    """The device seconds that a run of a strategy should take."""
    return sum(step.seconds or 0 for step in pipelines.steps(run_of(pipelines.plan, strategy, cell=cell)))


def test_all_strategies_of_a_cell_should_take_the_same_seconds(tmp_path: Path) -> None:
    names = [name for name in SHIPPED if name != "scratch-short"]
    found = budgeted(tmp_path, names, (BUDGET, 2 * BUDGET))
    for number, cell in enumerate(found.plan.cells):
        budget = cell.budget or 0
        for name in names:
            assert 0.95 * budget <= planned(found, name, number) <= budget * (1 + 1e-9), (name, cell.name)


def test_scratch_short_leaves_what_pretraining_would_take(tmp_path: Path) -> None:
    found = budgeted(tmp_path, ["scratch", "scratch-short", "semantic"])
    short, semantic = (steps_of(found, name) for name in ("scratch-short", "semantic"))
    assert planned(found, "scratch-short", 0) == pytest.approx(0.85 * BUDGET, rel=0.05)
    assert (short["segment"], short["store"]) == (semantic["segment"], semantic["store"])


def steps_in(step: Step) -> int:
    return int(step.overrides["max_epochs"] * step.overrides["epoch_length"])


def test_the_seconds_of_a_stage_are_those_of_its_steps_cases_and_rounds(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine", stages="{coarse: 0.4, pretrain: 0.2, train: 0.4}")
    found = budgeted(tmp_path, ["coarse", mine, "semantic"])
    for number, run in enumerate([run_of(found.plan, "mine", cell=cell) for cell in (0, 1)]):
        members = found.plan.members("own", run.cell.labels, 0)
        cases = sum(case.fold is not None for case in members)
        steps = steps_of(found, "mine", cell=number)
        rounds = len(MapPlan(members, "cross-fitted").rounds)
        assert rounds == 3
        coarse, pretrain, train, store = (COSTS[name] for name in ("coarse", "pretrain", "train", "store"))
        assert steps["coarse"].seconds == pytest.approx(
            coarse.case * cases + coarse.step * rounds * steps_in(steps["coarse"])
        )
        assert steps["pretrain"].seconds == pytest.approx(
            store.case * cases + pretrain.fixed + pretrain.step * steps_in(steps["pretrain"])
        )
        assert steps["train"].seconds == pytest.approx(train.fixed + train.step * steps_in(steps["train"]))
        assert steps["store"].seconds is None
        alone = steps_of(found, "coarse", cell=number)["coarse"]
        assert alone.seconds == pytest.approx(coarse.case * cases + coarse.step * steps_in(alone))
        plain, slices = COSTS["segment"], steps_of(found, "semantic", cell=number)["segment"]
        assert slices.seconds == pytest.approx(plain.fixed + plain.case * cases + plain.step * steps_in(slices))


def test_schedules_are_fitted_to_the_budget_and_lengths_of_the_configs_hold_without_one(tmp_path: Path) -> None:
    found = budgeted(tmp_path, ["semantic"], (BUDGET, 2 * BUDGET))
    one, two = (steps_of(found, "semantic", cell=cell) for cell in (0, 1))
    for stage in ("segment", "pretrain", "train"):
        assert steps_in(two[stage]) > 1.8 * steps_in(one[stage])
        assert one[stage].folder != two[stage].folder
    without = steps_of(made_pipelines(made_plan(tmp_path)), "semantic")
    assert not any({"max_epochs", "epoch_length"} & step.overrides.keys() for step in without.values())
    assert {step.seconds for step in without.values()} == {None}


def test_inference_and_embeddings_do_not_count(tmp_path: Path) -> None:
    steps = steps_of(budgeted(tmp_path, ["semantic"]), "semantic")
    assert {stage for stage, step in steps.items() if not step.counts} == {"embed", "inference"}


def test_maps_made_elsewhere_leave_their_share_to_the_last_stage(tmp_path: Path) -> None:
    attention = tmp_path / "cohort" / "attention"
    mine = strategy_file(tmp_path, "mine")
    slices = strategy_file(tmp_path, "slices", stages="{pretrain_slices: 0.2, segment: 0.4, pretrain: 0.1, train: 0.3}")
    names = ["scratch", "semantic", mine, slices]
    found = made_pipelines(made_plan(tmp_path, names, cells=cells_of(["2"], [BUDGET]), attention_dir=attention))
    for name, pretrained in {"scratch": 0.0, "semantic": 0.15, "mine": 0.0, "slices": 0.1}.items():
        assert 0.95 * BUDGET <= planned(found, name, 0) <= BUDGET
        steps = steps_of(found, name)
        assert not {"coarse", "segment", "pretrain_slices"} & steps.keys()
        assert steps["train"].seconds == pytest.approx((1 - pretrained) * BUDGET, rel=0.05)


def test_a_budget_below_a_stage_s_fixed_cost_names_strategy_stage_and_cell(tmp_path: Path) -> None:
    found = budgeted(tmp_path, ["scratch", "semantic"], (6.0,))
    with pytest.raises(SemclError, match=r"(?s)too small for \w+: (segment|pretrain|train) could not.*2 patients, 6 s"):
        [found.steps(run) for run in found.plan.runs()]


def test_a_stage_s_cost_is_known_where_it_was_measured(tmp_path: Path) -> None:
    found = budgeted(tmp_path, ["semantic"])
    (semantic,) = found.plan.strategies
    assert found.cost(semantic, "pretrain") == COSTS["pretrain"]
    assert Pipelines(found.plan, None).cost(semantic, "pretrain") is None


def test_costs_are_of_a_stage_s_numbers_but_not_of_its_length(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, ["semantic", "simclr", "coarse"])
    assert len(costs_of(plan)) == 6  # segment, store and train are the same for all, pretraining is not
    longer = replace(plan, numbers={"coarse.max_epochs": 3})
    wider = replace(plan, numbers={"coarse_channels": [4, 8]})
    assert costs_of(longer).keys() == costs_of(plan).keys() != costs_of(wider).keys()


def test_a_slower_step_gets_fewer_of_them(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, ["semantic"], cells=cells_of(["2"], [BUDGET]))
    slow = {**COSTS, "train": Cost(step=0.8, fixed=1.0, case=0.0)}
    fast, slower = (steps_of(Pipelines(plan, costs_of(plan, known)), "semantic")["train"] for known in (COSTS, slow))
    assert steps_in(fast) == pytest.approx(10 * steps_in(slower), rel=0.05)
