"""The results of all runs of a study."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from scripts.errors import SemclError
from scripts.evaluate.metrics import METRICS
from scripts.evaluate.rows import Row, read_metrics
from scripts.study import results as module
from scripts.study.pipeline import Pipelines
from scripts.study.results import Results
from scripts.study.step_process import METHOD
from scripts.study.strategy import FLOOR
from tests.study.made import (
    COSTS,
    TABLE,
    cells_of,
    costs_of,
    dice_of,
    made_pipelines,
    made_plan,
    made_results,
    rows_of,
    run_of,
    steps_of,
    strategy_file,
    write_step,
)

LEVELS = {"scratch": 0.4, "semantic": 0.6}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Two strategies, two amounts of labels, two seeds."""
    return made_results(made_plan(tmp_path, cells=cells_of(["2", "4"])), LEVELS)


def results_with(folder: Path, rows: Mapping[str, list[Row]], **changes: object) -> Results:
    """Results whose every run ends with the rows of its strategy, the coarse map with those of ``FLOOR``."""
    plan = made_plan(folder, **changes)
    pipelines = made_pipelines(plan)
    for run in plan.runs():
        for step in pipelines.steps(run):
            write_step(step, rows=rows[FLOOR if step.makes_maps else run.strategy.name])
    return Results(plan, pipelines)


# values


def test_values_are_those_of_the_rows(results: Results) -> None:
    for number, cell in enumerate(results.plan.cells):
        measured = results.measured(cell)
        assert measured.arms == results.methods == (FLOOR, "scratch", "semantic")
        assert list(measured.organs) == ["liver", "bile_duct"]  # the third organ is of nobody
        for strategy, seed in itertools.product(("scratch", "semantic"), (0, 1)):
            step = results.pipelines.steps(run_of(results.plan, strategy, seed, number))[-1]
            dice = {(row.patient, row.organ): row.value for row in read_metrics(step.rows) if row.metric == "dice"}
            place = measured.arms.index(strategy), seed
            for organ in ("liver", "bile_duct"):
                found = measured.organs[organ][place]
                assert [found[patient] for patient in range(6) if (f"p{patient}", organ) in dice] == [
                    dice[f"p{patient}", organ] for patient in range(6) if (f"p{patient}", organ) in dice
                ]
            means = [np.mean([value for (of, _), value in dice.items() if of == f"p{number}"]) for number in range(6)]
            assert measured.values[place].tolist() == pytest.approx(means)


def test_an_organ_has_no_value_of_patients_without_it(results: Results) -> None:
    duct = results.measured(results.plan.cells[0]).organs["bile_duct"]
    assert duct.shape == (3, 2, 6)
    assert np.isnan(duct[..., 0]).all()
    assert not np.isnan(duct[..., 1:]).any()
    assert results.sizes == (6, 6)


def scan(patient: str, number: int, organ: str, value: float, phase: str = "portal") -> Row:
    return Row(f"{patient}_{number}", patient, organ, phase, METHOD, "dice", value)


def test_means_are_over_patients_of_organs_of_scans(tmp_path: Path) -> None:
    """A patient with three scans, of whom an organ is annotated once, counts as one with one scan."""
    floor = [
        *(scan("p0", number, "liver", value) for number, value in enumerate((0.9, 0.6, 0.3))),
        scan("p0", 1, "bile_duct", 0.2),
        scan("p1", 0, "liver", 0.5),
        scan("p1", 0, "bile_duct", 0.1),
    ]
    ours = [
        *(scan("p0", number, "liver", value) for number, value in enumerate((1.0, 0.8, 0.6))),
        scan("p0", 1, "bile_duct", 0.0),
        scan("p1", 0, "liver", 0.4),
        scan("p1", 0, "bile_duct", 0.0),
    ]
    found = results_with(tmp_path, {FLOOR: floor, "scratch": ours}, strategies=["scratch"], seeds=1)
    measured = found.measured(found.plan.cells[0])
    first = {FLOOR: ((0.9 + 0.6 + 0.3) / 3 + 0.2) / 2, "scratch": ((1.0 + 0.8 + 0.6) / 3 + 0.0) / 2}
    second = {FLOOR: (0.5 + 0.1) / 2, "scratch": (0.4 + 0.0) / 2}
    assert measured.values[:, 0].tolist() == pytest.approx(
        np.array([[first[arm], second[arm]] for arm in measured.arms])
    )
    assert measured.organs["liver"][:, 0].tolist() == pytest.approx(np.array([[0.6, 0.5], [0.8, 0.4]]))
    assert measured.organs["bile_duct"][:, 0].tolist() == pytest.approx(np.array([[0.2, 0.1], [0.0, 0.0]]))
    pooled = np.mean([row.value for row in ours]) - np.mean([row.value for row in floor])
    by_rule = (measured.values[1] - measured.values[0]).mean()
    assert pooled == pytest.approx(0.0333, abs=1e-4)
    assert by_rule == pytest.approx((first["scratch"] - first[FLOOR] + second["scratch"] - second[FLOOR]) / 2)
    assert found.sizes == (4, 2)


def test_a_phase_has_its_own_scans_alone(tmp_path: Path) -> None:
    rows = [
        scan("p0", 0, "liver", 0.2, "noncontrast"), scan("p0", 1, "liver", 0.6, "portal"),
        scan("p1", 0, "liver", 0.4, "noncontrast"),
    ]  # fmt: skip
    found = results_with(tmp_path, {FLOOR: rows, "scratch": rows}, strategies=["scratch"], seeds=1)
    cell = found.plan.cells[0]
    assert found.measured(cell).values[0, 0].tolist() == pytest.approx([0.4, 0.4])
    assert found.measured(cell, "portal").values[0, 0].tolist() == pytest.approx([0.6])
    assert found.measured(cell, "noncontrast").values[0, 0].tolist() == pytest.approx([0.2, 0.4])
    assert found.measured(cell, "arterial").values.shape == (2, 1, 0)


def test_phases_part_the_patients(results: Results) -> None:
    cell = results.plan.cells[0]
    parts = [results.measured(cell, phase).values for phase in TABLE.phases]
    whole = results.measured(cell).values
    assert np.array_equal(np.sort(np.concatenate(parts, axis=2)), np.sort(whole))


# the coarse map


def test_the_coarse_map_is_that_of_its_own_labels_and_seed(results: Results) -> None:
    values = [results.measured(cell).values[0] for cell in results.plan.cells]
    assert not np.array_equal(values[0][0], values[0][1])
    assert not np.array_equal(values[0], values[1])


def test_strategies_that_refine_nothing_have_no_coarse_map_beside_them(tmp_path: Path) -> None:
    found = made_results(made_plan(tmp_path, ["coarse"]), {"coarse": 0.6})
    assert found.methods == ("coarse",)


def test_the_coarse_strategy_is_not_the_coarse_map(tmp_path: Path) -> None:
    found = made_results(made_plan(tmp_path, ["coarse", "scratch"]), {"coarse": 0.8, "scratch": 0.7, FLOOR: 0.3})
    assert found.methods == (FLOOR, "coarse", "scratch")
    means = found.measured(found.plan.cells[0]).values.mean((1, 2))
    assert means.tolist() == pytest.approx([0.3, 0.8, 0.7], abs=0.05)


def test_maps_made_elsewhere_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_plan(tmp_path, attention_dir=tmp_path / "cohort" / "attention")
    asked: list[list[str]] = []

    def measure(cases: list[object], *_: object) -> list[Row]:
        asked.append([getattr(case, "id") for case in cases])  # noqa: B009
        return rows_of(METHOD, dice_of(6, 0.5, np.random.default_rng(0)))

    monkeypatch.setattr(module, "measure_cases", measure)
    found = made_results(plan, LEVELS)
    assert found.methods[0] == FLOOR
    values = found.measured(plan.cells[0]).values[0]
    assert np.array_equal(values[0], values[1])
    assert asked == [["p8_noncontrast", "p9_noncontrast", "p9_portal"]]
    Results(plan, found.pipelines)
    assert len(asked) == 1


# folds


def test_patients_of_all_folds_are_together_each_with_its_fold(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, folds=2, seeds=1)
    tested = {
        case.patient: number for number, cases in enumerate(plan.splits.values()) for case in cases if case.fold is None
    }
    pipelines = made_pipelines(plan)
    for run in plan.runs():
        mine = [patient for patient, number in tested.items() if list(plan.splits)[number] == run.split]
        dice = {(patient, "liver"): 0.1 * int(patient[1:]) for patient in mine}
        for step in pipelines.steps(run):
            write_step(step, rows=rows_of(METHOD, dice))
    found = Results(plan, pipelines)
    measured = found.measured(plan.cells[0])
    assert found.patients == sorted(tested)
    assert measured.values[1, 0].tolist() == pytest.approx([0.1 * int(patient[1:]) for patient in found.patients])
    assert measured.folds == [tested[patient] for patient in found.patients]


def test_one_test_set_has_no_folds(results: Results) -> None:
    assert results.measured(results.plan.cells[0]).folds is None


# families


def test_strategies_that_end_alike_vary_alike(tmp_path: Path) -> None:
    networks = ["multiclass", "multiclass-simclr", "multiclass-teacher", "segresnet"]
    plan = made_plan(tmp_path, ["coarse", "scratch", "semantic", *networks])
    levels = dict.fromkeys((one.name for one in plan.strategies), 0.5) | LEVELS
    found = made_results(plan, levels).families
    assert (found[FLOOR], found["coarse"]) == (FLOOR, "coarse")
    assert found["scratch"] == found["semantic"] == "refiners 0"  # whatever network made the maps
    assert found["multiclass"] == found["multiclass-simclr"]
    assert len({found[name] for name in networks}) == 3, "a mean teacher and a 3-D network vary otherwise"
    assert len(set(found.values())) == 6


def test_refiners_of_other_coarse_runs_are_other_families(tmp_path: Path) -> None:
    volumes = strategy_file(tmp_path, "volumes")
    mine = strategy_file(tmp_path, "mine", "segment.batch_size: 3\n", "{segment: 0.6, train: 0.4}")
    less = strategy_file(tmp_path, "less", stages="{segment: 0.2, train: 0.8}")
    alike = strategy_file(tmp_path, "alike", "margin: 9\n", "{segment: 0.6, train: 0.4}")
    levels = LEVELS | {"volumes": 0.5, "mine": 0.5, "less": 0.5, "alike": 0.5}
    plan = made_plan(tmp_path, ["scratch", volumes, mine, less, alike], cells=cells_of(["2"], [120.0]))
    found = made_results(plan, levels)
    assert found.refiners == [["scratch", "alike"], ["volumes"], ["mine"], ["less"]]
    families = [found.families[name] for name in (FLOOR, "scratch", "volumes", "mine", "less", "alike")]
    assert len(set(families)) == 5
    assert found.families["alike"] == found.families["scratch"]


# refused


def test_nothing_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SemclError, match=r"(?s)nothing to compare.*no organ in the label maps of the testing cases"):
        results_with(tmp_path, {FLOOR: [], "scratch": [], "semantic": []})


def test_strategies_that_were_tested_on_other_cases_are_refused(tmp_path: Path) -> None:
    rows = [scan("p0", 0, "liver", 0.2), scan("p1", 0, "liver", 0.6)]
    message = r"(?s)case p1_0: strategies were tested on different cases.*liver not in semantic, 2 patients, seed 0"
    with pytest.raises(SemclError, match=message):
        results_with(tmp_path, {FLOOR: rows, "scratch": rows, "semantic": rows[:1]})
    more = [*rows, scan("p1", 0, "bile_duct", 0.1)]
    with pytest.raises(SemclError, match=r"(?s)bile_duct only in semantic"):
        results_with(tmp_path / "more", {FLOOR: rows, "scratch": rows, "semantic": more})


# rows


def test_all_rows_are_listed_with_seed_and_cell(results: Results) -> None:
    listed = results.rows()
    assert len({tuple(line.items()) for line in listed}) == len(listed)
    per_run = 11 * (len(METRICS) + 1)  # six livers and five ducts, and a volume of each
    counts = {
        key: sum((line["seed"], line["labels"], line["method"]) == key for line in listed)
        for key in itertools.product((0, 1), ("2 patients", "4 patients"), results.methods)
    }
    assert set(counts.values()) <= {per_run, 11 * len(METRICS)}
    assert sum(counts.values()) == len(listed)
    assert {line["budget"] for line in listed} == {None}


# what was learnt from


def test_every_cell_says_how_many_patients_and_scans_it_learnt_from(tmp_path: Path) -> None:
    found = made_results(made_plan(tmp_path, cells=cells_of(["2", "100%"])), LEVELS)
    few, most = (found.learnt(cell) for cell in found.plan.cells)
    assert few["patients"] == [2]
    assert most == {"patients": [6], "labelled_scans": [8], "scans": [11]}
    assert few["scans"] == [11]
    assert set(few["labelled_scans"]) <= {2, 3, 4}


def test_folds_may_learn_from_different_numbers_of_scans(tmp_path: Path) -> None:
    found = made_results(made_plan(tmp_path, folds=3, cells=cells_of(["100%"])), LEVELS, per_fold=True)
    assert found.learnt(found.plan.cells[0])["patients"] == [5, 6]


# costs


def cost_lines(results: Results, cell: int = 0) -> dict[str, dict[str, float]]:
    return {line["strategy"]: line for line in results.costs(results.plan.cells[cell])}


def test_costs_are_means_over_runs_of_the_sum_over_stages(tmp_path: Path) -> None:
    plan = made_plan(tmp_path, cells=cells_of(["2"], [120.0]))
    pipelines = made_pipelines(plan)
    for run in plan.runs():
        for step in pipelines.steps(run):
            write_step(step, 10.0 + run.seed, rows_of(METHOD, dice_of(6, 0.5, np.random.default_rng(0))))
    found = cost_lines(Results(plan, pipelines))
    scratch, semantic = found["scratch"], found["semantic"]
    assert scratch["training_seconds"] == pytest.approx(3 * 10.5)  # segment, store, train
    assert semantic["training_seconds"] == pytest.approx(4 * 10.5)
    assert scratch["inference_seconds"] == semantic["inference_seconds"] == pytest.approx(10.5)
    assert (semantic["other_seconds"], "other_seconds" in scratch) == (pytest.approx(10.5), False)
    assert (scratch["samples"], semantic["samples"]) == (2 * 640, 3 * 640)
    flops = {stage: 100 * COSTS[stage].flops for stage in ("segment", "pretrain", "train")}
    assert scratch["flops"] == pytest.approx(flops["segment"] + flops["train"])
    assert semantic["flops"] == pytest.approx(sum(flops.values()))
    assert scratch["resident_mib"] == 111
    for line in found.values():
        assert 0.95 * 120 <= line["planned_seconds"] <= 120


def test_costs_without_a_budget_have_no_plan(results: Results) -> None:
    found = cost_lines(results)
    assert {line["planned_seconds"] for line in found.values()} == {0}
    assert {line["flops"] for line in found.values()} == {0}


def test_memory_of_the_gpu_is_reported_where_there_is_one(results: Results) -> None:
    step = steps_of(results.pipelines, "semantic")["pretrain"]
    note = json.loads(step.manifest.read_text())
    step.manifest.write_text(json.dumps(note | {"peak_memory": {"resident_mib": 900, "gpu_mib": 777}}))
    found = cost_lines(results)
    assert (found["semantic"]["resident_mib"], found["semantic"]["gpu_mib"]) == (900, 777)
    assert "gpu_mib" not in found["scratch"]


def test_costs_of_a_coarse_network_count_for_each_strategy_that_refines_it(tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine", stages="{segment: 0.6, train: 0.4}", text="margin: 9\n")
    found = cost_lines(made_results(made_plan(tmp_path, ["scratch", mine]), {"scratch": 0.4, "mine": 0.5}))
    assert found["scratch"]["training_seconds"] == found["mine"]["training_seconds"] == pytest.approx(30.0)


# embeddings


def test_embeddings_are_means_over_seeds_of_those_who_pretrain(results: Results) -> None:
    assert results.embeddings() == [
        {"measure": "same organ", "semantic": pytest.approx(0.625), "untrained": 0.25},
        {"measure": "rank", "untrained": 0.5},
    ]


def test_a_study_without_embeddings_has_none(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    for run in results.plan.runs():
        for step in results.pipelines.steps(run):
            (step.folder / "embeddings" / "summary.json").unlink(missing_ok=True)
    assert results.embeddings() == []
    assert capsys.readouterr().err == ""


def test_a_plan_of_fewer_strategies_reads_those_alone(tmp_path: Path) -> None:
    made_results(made_plan(tmp_path), LEVELS)
    fewer = made_plan(tmp_path, ["scratch"], seeds=1)
    found = Results(fewer, Pipelines(fewer, costs_of(fewer)))
    assert found.methods == (FLOOR, "scratch")
    assert found.measured(fewer.cells[0]).values.shape == (2, 1, 6)
