"""Costs of stages: measured once each, alone, on label maps that a run may see, and read again afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.attention import attention_path
from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.study import costs as module
from scripts.study.budget import Cost
from scripts.study.costs import AS_IF_LONG, EARLIER, PROBE_LENGTHS, measure_costs, require_machine
from scripts.study.pipeline import cost_key
from scripts.study.plan import Plan
from scripts.study.step import Step
from tests.conftest import write_nifti
from tests.study.made import TABLE, cells_of, made_plan, strategy_file, write_cases

SEEN = {  # what short runs note beside themselves, besides what grows with the scans they read
    "coarse": {"training": 2.0, "steps": 48, "samples": 48, "step": 0.04, "epoch": 0.25, "flops": 100, "whole": 3.0},
    "segment": {"training": 4.0, "steps": 16, "samples": 128, "step": 0.3, "epoch": 0.5, "flops": 400, "whole": 6.0},
    "store": {"whole": 0.5},
    "pretrain": {"training": 3.0, "steps": 16, "samples": 1024, "step": 0.2, "flops": 300, "whole": 5.0},
    "train": {"training": 1.0, "steps": 16, "samples": 512, "step": 0.1, "flops": 200, "whole": 4.5},
    "inference": {"whole": 1.5},
}
CASE = {"coarse": 0.5, "segment": 0.75, "store": 0.25, "inference": 1.25}  # seconds of each scan


class Runs:
    """Stands for what runs a step: notes it, and leaves its cost."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        self.steps.append(step)
        step.folder.mkdir(parents=True, exist_ok=True)
        cases = len(datalist.load(step.overrides["dataset_dir"]))
        whole = SEEN[step.stage]["whole"] + cases * CASE.get(step.stage, 0)
        (step.folder / "cost.json").write_text(json.dumps(SEEN[step.stage] | {"whole": whole}))

    @property
    def stages(self) -> list[str]:
        return [step.stage for step in self.steps]


def scans(folder: Path, cases: Sequence[Case] = ()) -> list[Case]:
    """Cases with real scans of a few voxels."""
    found = list(cases) or write_cases(folder / "cohort")
    voxels = np.zeros((4, 4, 3), np.int16)
    voxels[1:3, 1:3] = TABLE.organs[0].index
    for case in found:
        write_nifti(case.image, voxels)
        if case.label is not None:
            write_nifti(case.label, voxels)
    return found


def plan_of(folder: Path, strategies: Sequence[str] = ("scratch", "semantic"), labels: str = "100%") -> Plan:
    return made_plan(folder, strategies, cases=scans(folder), cells=cells_of([labels], [60.0]))


def costs_steps(folder: Path, strategy: str) -> dict[str, Step]:
    """Stage -> short run of one strategy."""
    runs = Runs()
    measure_costs(plan_of(folder, [strategy]), runs)
    return {step.stage: step for step in runs.steps}


@pytest.fixture
def runs() -> Runs:
    return Runs()


def test_every_stage_is_measured_once_the_store_before_those_it_serves(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path, ["coarse", "scratch", "simclr", "semantic", "multiclass"])
    found = measure_costs(plan, runs)
    twice = ["coarse", "coarse", "store", "store", "segment", "segment", "train", "pretrain", "pretrain"]
    assert runs.stages == [*twice, "segment", "segment"]  # one that makes maps, and one that makes none
    assert [step.overrides.get("coarse_dims") for step in runs.steps if step.stage == "segment"] == [2, 2, None, None]
    assert len(found) == 7
    for strategy in plan.strategies:
        assert {cost_key(plan, strategy, stage) for stage in strategy.stages} <= found.keys()


def test_costs_are_a_step_s_an_epoch_s_and_what_comes_once_or_with_every_case(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path)
    found = measure_costs(plan, runs)
    semantic = plan.strategies[1]
    assert {stage: found[cost_key(plan, semantic, stage)] for stage in SEEN.keys() - {"coarse", "inference"}} == {
        "segment": Cost(step=0.3, epoch=0.5, fixed=2.0, case=0.75, samples=8.0, flops=400),
        "store": Cost(step=0.0, fixed=0.5, case=0.25),
        "pretrain": Cost(step=0.2, fixed=2.0, case=0.0, samples=64.0, flops=300),
        "train": Cost(step=0.1, fixed=3.5, case=0.0, samples=32.0, flops=200),
    }


def read_by(runs: Runs) -> dict[Path, list[Case]]:
    """The cases of every cohort that a short run read."""
    folders = {Path(step.overrides["dataset_dir"]) for step in runs.steps}
    return {folder: datalist.load(folder) for folder in sorted(folders, reverse=True)}


def test_short_runs_read_few_scans_and_more_of_two_patients_at_least(tmp_path: Path, runs: Runs) -> None:
    measure_costs(plan_of(tmp_path), runs)
    more, few, others = read_by(runs).values()
    assert (len(few), len({case.patient for case in few}), {case.fold for case in few}) == (2, 2, {0, 1})
    assert len(more) == 11  # of eight training patients, three of them with two scans
    assert {case.id for case in few} < {case.id for case in more}
    assert others == more  # there are no more than twelve


def test_known_costs_are_read_and_not_measured_again(tmp_path: Path, runs: Runs) -> None:
    before = measure_costs(plan_of(tmp_path), runs)
    again = Runs()
    assert measure_costs(plan_of(tmp_path), again) == before
    assert again.steps == []
    more = measure_costs(plan_of(tmp_path, ["scratch", "semantic", "organ"]), again)
    assert again.stages == ["pretrain"]
    assert before.items() <= more.items()


def test_a_stage_with_other_numbers_is_measured_anew(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path)
    measure_costs(plan, runs)
    again = Runs()
    measure_costs(replace(plan, numbers={"coarse_spacing": [4, 4, 0], "train.margin": 9}), again)
    assert again.stages == ["segment", "segment", "train"]


def test_short_runs_are_short_and_start_from_random_weights(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path, ["semantic"])
    measure_costs(plan, runs)
    steps = {step.stage: step.overrides for step in runs.steps}
    for stage in ("segment", "pretrain", "train"):
        assert {key: steps[stage][key] for key in PROBE_LENGTHS} == PROBE_LENGTHS
    assert not PROBE_LENGTHS.keys() & steps["store"].keys()
    assert [steps["train"][key] for key in EARLIER] == [None] * 4
    assert steps["pretrain"]["initial_weights"] is steps["segment"]["encoder_weights"] is None
    assert steps["pretrain"]["meaning"] == "cluster"
    assert len({step.folder for step in runs.steps}) == len(runs.steps) == 6
    assert all(Path(overrides["output_dir"]).is_relative_to(plan.out / "costs") for overrides in steps.values())


def test_the_cost_of_deformed_slices_is_measured_though_runs_are_short(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path, ["self-training"])
    measure_costs(plan, runs)
    networks = [step for step in runs.steps if step.stage == "segment"]
    assert {Path(step.files[-1]).stem for step in networks} == {"segment", "self_training"}
    for step in networks:
        assert {key: step.overrides[key] for key in AS_IF_LONG} == AS_IF_LONG
        assert plan.keys_of.contents["segment"]["deformation"] > 0


def test_pseudo_labels_are_measured_with_the_refiner_of_a_short_run(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path, ["self-training"])
    found = measure_costs(plan, runs)
    assert found[cost_key(plan, plan.strategies[0], "pseudo_labels")] == Cost(step=0.0, fixed=1.5, case=1.25)
    pseudo = [step for step in runs.steps if step.stage == "inference"]
    train = [step for step in runs.steps if step.stage == "train"]
    assert len({step.folder for step in train}) == 1  # run again it has nothing to do
    assert len(pseudo) == 2
    for step in pseudo:
        assert step.overrides["ckpt_dir"] == f"{train[0].folder}/models"
        assert step.overrides["cases"] == "$scripts.load_cases(@dataset_dir, 'training')[:@shared.pseudo_cases]"
        assert step.overrides["attention_dir"] == f"{step.overrides['dataset_dir']}/attention"
    (taught,) = {step.files for step in runs.steps if step.stage == "segment" and len(step.files) == 2}
    assert [Path(file).stem for file in taught] == ["segment", "self_training"]
    assert all(step.overrides["pseudo_dir"] is None for step in runs.steps if step.files == taught)


def test_short_runs_refine_label_maps(tmp_path: Path, runs: Runs) -> None:
    measure_costs(plan_of(tmp_path, ["coarse", "semantic"]), runs)
    for step in runs.steps:
        folder = step.overrides["dataset_dir"]
        makes = step.stage in ("coarse", "segment")  # into a folder of its own
        assert step.overrides.get("attention_dir") == (None if makes else f"{folder}/attention")
    for folder, cases in read_by(runs).items():
        assert all(attention_path(folder / "attention", case.id).is_file() for case in cases)


def test_costs_are_measured_on_label_maps_that_a_run_may_see(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path, labels="2")
    drawn = {case.id for case in plan.members("own", plan.cells[0].labels, 0) if case.label and case.fold is not None}
    for case in plan.cases:
        if case.label is not None and case.fold is not None and case.id not in drawn:
            case.label.write_bytes(b"garbage")
    measure_costs(plan, runs)
    for cases in read_by(runs).values():
        labelled = [case for case in cases if case.label is not None]
        assert {case.id for case in labelled} <= drawn
        assert {case.fold for case in labelled} == {0, 1}
    more = next(iter(read_by(runs).values()))
    assert len(more) == sum(case.fold is not None for case in plan.cases)  # those without a label map too


def test_scans_without_label_maps_are_among_those_measured_where_a_run_has_such(tmp_path: Path, runs: Runs) -> None:
    plan = made_plan(tmp_path, ["scratch"], cases=scans(tmp_path), cells=cells_of(["100%", "2"], [60.0]))
    measure_costs(plan, runs)
    more = max(read_by(runs).values(), key=len)
    few = plan.members("own", plan.cells[1].labels, 0)
    assert {case.id for case in more if case.label} == {case.id for case in few if case.label and case.fold is not None}
    assert sum(case.label is None for case in more) > 1


def test_what_an_interrupted_short_run_has_noted_does_not_count(tmp_path: Path, runs: Runs) -> None:
    before = measure_costs(plan_of(tmp_path / "one"), runs)

    class Interrupted(Runs):
        def __call__(self, step: Step) -> None:
            super().__call__(step)
            if len(self.steps) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_costs(plan_of(tmp_path / "two"), Interrupted())
    seen: list[bool] = []

    def resumed(step: Step) -> None:
        seen.append(step.folder.is_dir())
        runs(step)

    assert measure_costs(plan_of(tmp_path / "two"), resumed) == before
    assert seen
    assert not any(seen)


def test_the_device_is_noted_beside_a_cost(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path)
    measure_costs(plan, runs)
    for path in (plan.out / "costs").glob("*.json"):
        assert json.loads(path.read_text())["machine"] == module.machine()


def test_costs_of_another_machine_are_read_but_neither_added_to_nor_gone_on_with(
    tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path)
    found = measure_costs(plan, runs)
    require_machine(plan)
    monkeypatch.setattr(module, "machine", lambda: "a slower one")
    assert measure_costs(plan, runs) == found  # for the report, which runs nothing
    again = Runs()
    message = r"(?s)measured on another machine.*and this is a slower one.*start another study with --out, or remove"
    for refused in (
        lambda: require_machine(plan),
        lambda: measure_costs(plan_of(tmp_path, ["scratch", "semantic", "organ"]), again),
    ):
        with pytest.raises(SemclError, match=message):
            refused()
    assert again.steps == []


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_cost_is_named(tmp_path: Path, runs: Runs, content: str) -> None:
    plan = plan_of(tmp_path)
    measure_costs(plan, runs)
    next(iter((plan.out / "costs").glob("train*.json"))).write_text(content)
    with pytest.raises(SemclError, match=r"(?s)train .*\.json cannot be used.*the cost of a stage.*measured again"):
        measure_costs(plan, runs)


def test_one_patient_s_label_maps_are_enough_where_nothing_is_cross_fitted(tmp_path: Path, runs: Runs) -> None:
    plan = plan_of(tmp_path, ["coarse"], labels="1")
    measure_costs(plan, runs)
    assert runs.steps[0].overrides["labelled_maps"] == "none"
    mine = strategy_file(tmp_path, "mine")
    assert "labelled_maps" not in costs_steps(tmp_path / "two", mine)["coarse"].overrides
