"""The results of all cells of a study."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from scripts.errors import SemclError
from scripts.evaluate.metrics import METRICS
from scripts.evaluate.rows import Row, read_metrics
from scripts.evaluate.statistics import ALL
from scripts.study.cells import parse_cells
from scripts.study.results import Results
from scripts.study.strategy import FLOOR
from tests.study.made import TABLE, made_plan, made_results, rows_of, write_unit

LEVELS = {"scratch": 0.4, "semantic": 0.6}


@pytest.fixture
def results(tmp_path):
    return made_results(made_plan(tmp_path, cells=parse_cells(["frozen", "tuned"], ["100%"])), LEVELS)


def test_values_are_those_of_the_rows(results):
    for cell in results.plan.cells:
        values = results.values(cell)
        assert list(values) == [ALL, "liver", "bile_duct"]  # the third organ is of nobody
        for unit in results.plan.units():
            rows = read_metrics(unit.cell_folder(cell) / "rows.csv")
            dice = {(row.patient, row.organ): row.value for row in rows if row.metric == "dice"}
            for organ in ("liver", "bile_duct"):
                patients = sorted(patient for patient, of in dice if of == organ)
                found = values[organ][unit.strategy.name][unit.seed]
                assert found.tolist() == [dice[patient, organ] for patient in patients]
            means = [np.mean([value for (of, _), value in dice.items() if of == f"p{number}"]) for number in range(6)]
            assert values[ALL][unit.strategy.name][unit.seed] == pytest.approx(means)


def test_organs_hold_the_patients_who_have_them(results):
    values = results.values(results.plan.cells[0])
    assert {name: table[FLOOR].shape for name, table in values.items()} == {
        ALL: (2, 6), "liver": (2, 6), "bile_duct": (2, 5),
    }  # fmt: skip
    assert results.methods == (FLOOR, "scratch", "semantic")
    assert results.sizes == (6, 6)


def test_the_coarse_map_is_the_same_for_every_seed_and_cell(results):
    tables = [results.values(cell)[organ][FLOOR] for cell in results.plan.cells for organ in (ALL, "liver")]
    for values in tables:
        assert np.array_equal(values[0], values[1])
    assert np.array_equal(tables[0], tables[2])


def test_scans_of_a_patient_are_averaged(tmp_path):
    plan = made_plan(tmp_path, seeds=1)

    def rows(method: str, values: list[float]) -> list[Row]:
        where = [(f"p0_{phase}", "p0", "liver", phase, method, "dice") for phase in TABLE.phases]
        return [Row(*one, value) for one, value in zip(where, values, strict=True)]

    for unit in plan.units():
        write_unit(plan, unit, [rows(unit.strategy.name, [0.2, 0.6])])
    found = Results(plan, {"own": rows(FLOOR, [0.1, 0.5])}, TABLE.names, TABLE.phases)
    assert found.sizes == (2, 1)
    assert found.values(plan.cells[0])["liver"]["semantic"] == pytest.approx(np.array([[0.4]]))
    late = found.values(plan.cells[0], phase="portal")
    assert late[ALL]["semantic"] == pytest.approx(np.array([[0.6]]))
    assert found.values(plan.cells[0], phase="arterial") == {}


def test_phases_part_the_patients(results):
    cell = results.plan.cells[0]
    parts = [results.values(cell, phase=phase)[ALL]["semantic"] for phase in TABLE.phases]
    whole = results.values(cell)[ALL]["semantic"]
    assert np.array_equal(np.sort(np.concatenate(parts, axis=1)), np.sort(whole))


def test_other_metrics_are_there_too(results):
    cell = results.plan.cells[0]
    assert results.values(cell, "nsd")["liver"]["semantic"] == pytest.approx(
        results.values(cell)["liver"]["semantic"] / 2, abs=1e-6
    )


def test_patients_of_all_folds_are_together(tmp_path):
    plan = made_plan(tmp_path, folds=2, seeds=1)
    tested = {"fold 1 of 2": ("p0", "p1"), "fold 2 of 2": ("p2",)}
    floor = {}
    for split, patients in tested.items():
        floor[split] = rows_of(FLOOR, {(patient, "liver"): 0.5 for patient in patients})
    for unit in plan.units():
        of = {(patient, "liver"): 0.1 * int(patient[1:]) for patient in tested[unit.split]}
        write_unit(plan, unit, [rows_of(unit.strategy.name, of)])
    found = Results(plan, floor, TABLE.names, TABLE.phases)
    assert found.values(plan.cells[0])["liver"]["semantic"] == pytest.approx(np.array([[0, 0.1, 0.2]]))
    assert found.sizes == (3, 3)


def test_nothing_measured_is_refused(tmp_path):
    plan = made_plan(tmp_path)
    for unit in plan.units():
        write_unit(plan, unit, [[]])
    with pytest.raises(SemclError, match=r"(?s)nothing to compare.*no organ in the label maps of the testing cases"):
        Results(plan, {"own": []}, TABLE.names, TABLE.phases)


def test_all_rows_are_listed_with_seed_and_cell(results):
    listed = results.rows()
    assert len({tuple(line.items()) for line in listed}) == len(listed)
    per_run = 11 * len(METRICS)  # six livers and five ducts
    counts = {
        key: sum((line["seed"], line["protocol"], line["method"]) == key for line in listed)
        for key in itertools.product((0, 1), ("frozen", "tuned"), results.methods)
    }
    assert set(counts.values()) == {per_run}
    assert len(listed) == per_run * 2 * 2 * 3


# costs


def test_costs_are_means_over_runs(results):
    scratch, semantic = results.costs()
    assert scratch == {
        "strategy": "scratch", "pretrain_seconds": 0.0, "train_seconds": 20.5, "inference_seconds": 4.0,
        "pretrain_queries": 0, "train_queries": 640, "resident_mib": 121,
    }  # fmt: skip
    assert (semantic["pretrain_seconds"], semantic["pretrain_queries"]) == (10.0, 520)


def test_memory_of_the_gpu_is_reported_where_there_is_one(results):
    unit = results.plan.units()[1]
    path = unit.folder / "jobs" / "pretrain.json"
    note = json.loads(path.read_text())
    path.write_text(json.dumps(note | {"peak_memory": {"resident_mib": 900, "gpu_mib": 777}}))
    scratch, semantic = results.costs()
    assert (semantic["resident_mib"], semantic["gpu_mib"]) == (900, 777)
    assert "gpu_mib" not in scratch


# embeddings


def test_embeddings_are_means_over_seeds_of_those_who_pretrain(results):
    assert results.embeddings() == [
        {"measure": "same organ", "semantic": pytest.approx(0.625), "untrained": 0.25},
        {"measure": "rank", "untrained": 0.5},
    ]


def test_a_study_without_embeddings_has_none(results):
    for unit in results.plan.units():
        (unit.folder / "embeddings" / "summary.json").unlink(missing_ok=True)
    assert results.embeddings() == []


def test_a_plan_of_fewer_strategies_reads_those_alone(results):
    fewer = replace(results.plan, strategies=results.plan.strategies[:1], seeds=1)
    floor = {"own": [found.row for found in results.measured if found.row.method == FLOOR]}
    found = Results(fewer, floor, TABLE.names, TABLE.phases)
    assert found.methods == (FLOOR, "scratch")
    assert found.values(fewer.cells[0])[ALL]["scratch"].shape == (1, 6)
