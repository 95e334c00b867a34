"""Studies without training: what is planned, refused, run in parts, reported, and read from the command line."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import __main__ as command_line
from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.evaluate.rows import Row
from scripts.job.shard import Shard
from scripts.signals import ENDING, release
from scripts.study import plan as plan_module
from scripts.study import study as module
from scripts.study.design import read_design
from scripts.study.plan import Plan
from scripts.study.runner import Runner, Task
from scripts.study.stage_shares import PIPELINE_STAGES
from scripts.study.step import LEFT_OUT_NOTE, Step
from scripts.study.step_process import METHOD
from scripts.study.strategy import FLOOR
from scripts.study.study import Study, usual_workers
from tests.stages import ROOT
from tests.study.made import (
    BUNDLE,
    TABLE,
    copied_bundle,
    costs_of,
    design_of,
    dice_of,
    overlay,
    rows_of,
    strategy_file,
    write_cases,
    write_step,
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of cases without scans."""
    cohort = tmp_path / "cohort"
    datalist.save(write_cases(cohort), cohort)
    TABLE.save(cohort)
    return Study(
        dataset_dir=cohort, bundle_root=BUNDLE, out=tmp_path / "out", design=design_of(), sweep=None,
        attention_dir=None, tolerance=2.0, workers=1, share=None,
    )  # fmt: skip


def with_design(study: Study, **changes: Any) -> Study:
    return replace(study, design=replace(study.design, **changes))


class Trained:
    """Stands for the runner: steps complete at once."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def run(self, tasks: Sequence[Task], title: str = "study", probe: bool = False) -> None:
        for task in tasks:
            if not task.completed:
                self.titles.append(task.title)
            for step in task.steps:
                if not step.completed:
                    rng = np.random.default_rng(int(step.key, 16) % 1000)
                    write_step(step, rows=rows_of(METHOD, dice_of(6, 0.5, rng)))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trained]:
    """No step takes any time, and none is measured; what signals do is left as it was."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    made = Trained()
    monkeypatch.setattr(Runner, "run", made.run)
    monkeypatch.setattr(module, "measure_costs", lambda plan, run: costs_of(plan))
    monkeypatch.setattr(plan_module, "_checksum", plan_module.checksum)  # files change within a test
    yield made
    release(handlers)


# plans


def test_a_plan_is_made_of_what_was_asked_for(study: Study) -> None:
    asked = replace(with_design(study, strategies=["scratch", "dcc"], folds=3), sweep="temperature=0.1,0.2")
    plan = asked.plan()
    assert [one.name for one in plan.strategies] == ["scratch", "dcc temperature=0.1", "dcc temperature=0.2"]
    assert len(plan.runs()) == 3 * 3 * 2
    assert plan.table == TABLE
    assert plan.attention_dir is None
    assert not [path for path in study.out.rglob("*") if not path.name.startswith(".")]


def test_folders_may_be_relative(study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    plan = replace(study, dataset_dir=Path("cohort"), out=Path("out"), attention_dir=Path("cohort/attention")).plan()
    assert (plan.out, plan.attention_dir) == (tmp_path / "out", tmp_path / "cohort" / "attention")
    plan.write_datalists()
    for folder in plan.out.glob("splits/*/*/*"):
        assert all(path.is_absolute() for case in datalist.load(folder) for path in (case.image, case.label) if path)


def test_numbers_of_overlays_hold_for_all_strategies(study: Study, tmp_path: Path) -> None:
    mine = str(overlay(tmp_path, "mine", "widths: [4, 4, 4, 4]\ntrain.max_epochs: 3\n"))
    plan = with_design(study, overlays=[mine]).plan()
    for strategy in plan.strategies:
        given = {"widths": [4, 4, 4, 4], "max_epochs": 3}
        assert plan.numbers_of(strategy, "train") == given


# from plan to report


REPORT = {"report.html", "results.csv", "rows.csv", "strategies.svg", "contrasts.svg", "summary.json", "tables.md"}
REPORT |= {"tables.tex"}


def made(folder: Path) -> set[str]:
    """The files of a report in a study's folder."""
    return {path.name for path in folder.iterdir() if path.is_file()} & REPORT


def test_a_study_runs_a_coarse_network_for_each_draw_and_every_strategy_on_it(study: Study, trained: Trained) -> None:
    with_design(study, labels=["2", "4"]).run()
    assert trained.titles == [
        f"{what}, {labels} patients, split own, seed {seed}"
        for seed in (0, 1)
        for labels in (2, 4)
        for what in ("coarse network", "scratch", "semantic")
    ]
    assert made(study.out) == REPORT


def test_a_finished_study_is_only_reported_again(study: Study, trained: Trained) -> None:
    study.run()
    before = {name: (study.out / name).read_bytes() for name in REPORT}
    trained.titles.clear()
    study.run()
    assert trained.titles == []
    assert {name: (study.out / name).read_bytes() for name in REPORT} == before


def test_seeds_strategies_and_labels_may_be_added(study: Study, trained: Trained) -> None:
    study.run()
    trained.titles.clear()
    with_design(study, seeds=3, strategies=["scratch", "organ", "semantic"]).run()
    assert sorted(trained.titles) == sorted([
        "organ, 2 patients, split own, seed 0", "organ, 2 patients, split own, seed 1",
        *(f"{what}, 2 patients, split own, seed 2" for what in ("coarse network", "scratch", "organ", "semantic")),
    ])  # fmt: skip


def test_parts_share_the_runs_and_the_last_one_reports(
    study: Study, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = with_design(study, seeds=3)
    done: list[set[str]] = []
    for part in ("1/2", "2/2"):
        assert not made(study.out) if study.out.exists() else True
        trained.titles.clear()
        replace(asked, share=Shard.of(part)).run()
        done.append(set(trained.titles))
        if part == "1/2":
            count = len(done[0])
            assert f"study: {count} of 9 tasks are done; the report is made when all are" in capsys.readouterr().out
    assert not done[0] & done[1]
    assert len(done[0] | done[1]) == 9
    for titles in done:  # whole draws, since strategies share their coarse network
        assert {title.rpartition(",")[2] for title in titles if title.startswith("coarse")} == {
            title.rpartition(",")[2] for title in titles
        }
    assert made(study.out) == REPORT


def test_contrasts_are_those_named_when_the_study_was_started(study: Study, trained: Trained) -> None:
    study.run()
    with_design(study, contrasts=["semantic - scratch", "scratch - semantic"]).run()
    content = json.loads((study.out / "summary.json").read_text())
    (table,) = content["tables"]
    assert [line["contrast"] for line in table["named"]] == ["semantic - scratch"]
    assert "scratch - semantic" in [line["contrast"] for line in table["exploratory"]]


def test_contrasts_stay_what_they_were_when_strategies_are_added(study: Study, trained: Trained) -> None:
    against = ["semantic - scratch, organ"]
    with_design(study, contrasts=against).run()
    with_design(study, contrasts=against, strategies=["scratch", "semantic", "organ"]).run()
    (table,) = json.loads((study.out / "summary.json").read_text())["tables"]
    assert [line["contrast"] for line in table["named"]] == ["semantic - scratch"]
    assert "semantic - best(scratch, organ)" in [line["contrast"] for line in table["exploratory"]]


def test_tables_of_the_start_that_are_left_out_count_in_the_correction(study: Study, trained: Trained) -> None:
    with_design(study, labels=["2", "4"]).run()
    with_design(study, labels=["2"]).run()
    content = json.loads((study.out / "summary.json").read_text())
    assert len(content["tables"]) == 1
    assert any("was started with 1 table more (4 patients)" in sentence for sentence in content["claims"])
    assert json.loads((study.out / "study.json").read_text())["tables"] == ["2 patients", "4 patients"]


def test_a_strategy_of_a_named_contrast_is_not_left_out(study: Study, trained: Trained) -> None:
    study.run()
    with pytest.raises(SemclError, match=r"(?s)whose comparison was named.*no semantic, which semantic - scratch in"):
        with_design(study, strategies=["scratch"]).run()


def test_what_is_left_is_not_run_on_another_machine_but_a_report_is_made_on_any(
    study: Study, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Plan) -> None:
        raise SemclError("another machine", found="a", expected="b", remedy="c")

    asked = with_design(study, budget=60)
    asked.run()
    monkeypatch.setattr(module, "require_machine", refuse)
    asked.run()
    trained.titles.clear()
    with pytest.raises(SemclError, match="another machine"):
        with_design(asked, seeds=3).run()
    assert trained.titles == []


def test_the_region_of_equivalence_is_that_named_when_the_study_was_started(study: Study, trained: Trained) -> None:
    study.run()
    before = (study.out / "summary.json").read_bytes()
    with_design(study, equivalence=0.2).run()
    assert (study.out / "summary.json").read_bytes() == before


def test_another_tolerance_is_refused_since_rows_are_kept(study: Study, trained: Trained) -> None:
    study.run()
    with pytest.raises(SemclError, match=r"(?s)another tolerance of NSD.*--tolerance 5, 2 in .*set --tolerance 2"):
        replace(study, tolerance=5.0).run()


def test_every_datalist_says_the_modality_of_the_cohort(study: Study) -> None:
    path = study.dataset_dir / "datalist.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modality": "MR"}))
    study.plan().write_datalists()
    lists = list((study.out / "splits").glob("**/datalist.json"))
    assert lists
    assert {datalist.stated_modality(one.parent) for one in lists} == {"MR"}


def test_a_study_whose_optional_steps_cannot_be_made_is_reported_and_not_repeated(
    study: Study, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = write_step

    def without_embeddings(step: Step, *, rows: Sequence[Row]) -> None:
        if step.optional:
            step.folder.mkdir(parents=True)
            (step.folder / LEFT_OUT_NOTE).write_text(
                json.dumps({"why": "neighbours are searched among other patients"})
            )
        else:
            write(step, rows=rows)

    monkeypatch.setattr(sys.modules[__name__], "write_step", without_embeddings)
    study.run()
    claims = json.loads((study.out / "summary.json").read_text())["claims"]
    assert claims[-1] == (
        "Left out in 2 runs that could do without it: embed: neighbours are searched among other patients."
    )
    trained.titles.clear()
    study.run()
    assert trained.titles == []


def test_another_baseline_needs_no_new_runs(study: Study, trained: Trained) -> None:
    study.run()
    trained.titles.clear()
    with_design(study, baseline="coarse map").run()
    assert trained.titles == []
    assert json.loads((study.out / "summary.json").read_text())["baseline"] == "coarse map"


# a study that is started again


def started(study: Study) -> None:
    """Note what a study is started with, as half a run leaves it."""
    study._note_protocol(study.plan())


CHANGED = {
    "a number of all stages": ({"numbers": {"widths": [8, 8, 8, 8]}}, r"strategy scratch .*other numbers.*train, inf"),
    "a number of pretraining": ({"numbers": {"temperature": 0.2}}, r"strategy semantic .*other numbers.*pretrain ch"),
    "a number of the plain network": ({"numbers": {"segment.batch_size": 2}}, r"strategy scratch .*other.*segment ch"),
}


@pytest.mark.parametrize(("changes", "message"), CHANGED.values(), ids=CHANGED.keys())
def test_a_changed_number_in_a_half_run_study_names_strategy_and_stage_before_anything_runs(
    study: Study, trained: Trained, changes: dict[str, Any], message: str
) -> None:
    started(study)
    with pytest.raises(SemclError, match=rf"(?s){message}.*study\.json.*another name, or start another study with"):
        with_design(study, **changes).run()
    assert trained.titles == []
    assert not (study.out / "runs").exists()


def test_a_changed_strategy_in_a_half_run_study_is_named(study: Study, trained: Trained, tmp_path: Path) -> None:
    mine = strategy_file(tmp_path, "mine", "temperature: 0.2\n", "{coarse: 0.4, pretrain: 0.2, train: 0.4}")
    asked = with_design(study, strategies=["scratch", mine])
    started(asked)
    strategy_file(tmp_path, "mine", "temperature: 0.3\n", "{coarse: 0.4, pretrain: 0.2, train: 0.4}")
    with pytest.raises(SemclError, match=r"(?s)strategy mine was started with other numbers.*pretrain changed since"):
        asked.run()
    strategy_file(tmp_path, "mine", "temperature: 0.2\n", "{coarse: 0.3, pretrain: 0.3, train: 0.4}")
    with pytest.raises(SemclError, match=r"(?s)strategy mine was started with other numbers.*stages changed since"):
        asked.run()
    assert trained.titles == []


def test_a_changed_config_of_the_bundle_is_named(study: Study, trained: Trained, tmp_path: Path) -> None:
    asked = replace(study, bundle_root=copied_bundle(tmp_path / "bundle"))
    started(asked)
    config = tmp_path / "bundle" / "configs" / "train.yaml"
    config.write_text(config.read_text().replace("margin: 8", "margin: 9"))
    with pytest.raises(SemclError, match=r"(?s)strategy scratch was started with other numbers.*train changed since"):
        asked.run()
    assert trained.titles == []


def label_maps(plan: Plan) -> tuple[list[Path], list[Path]]:
    """Training label maps that some seed draws, and those that none does."""
    members = [plan.members("own", plan.cells[0].labels, seed) for seed in range(plan.seeds)]
    drawn = {case.label for cases in members for case in cases if case.fold is not None and case.label is not None}
    return sorted(drawn), sorted(
        case.label for case in plan.cases if case.fold is not None and case.label and case.label not in drawn
    )


def test_a_changed_cohort_is_refused_where_a_run_may_see_it(study: Study, trained: Trained) -> None:
    started(study)
    drawn, others = label_maps(study.plan())
    others[0].write_text("another drawing, which nobody sees")
    started(study)
    drawn[0].write_text("another drawing")
    with pytest.raises(
        SemclError, match=r"(?s)the cohort has changed since the study was started.*for own, 2 patients"
    ):
        study.run()
    assert trained.titles == []


def test_another_label_table_is_another_cohort(study: Study, trained: Trained) -> None:
    started(study)
    replace(TABLE, phases=TABLE.phases[::-1]).save(study.dataset_dir)
    with pytest.raises(SemclError, match="the cohort has changed since the study was started"):
        study.run()


def test_the_place_the_workers_and_the_baseline_may_change(study: Study, trained: Trained) -> None:
    started(study)
    started(replace(with_design(study, baseline="semantic"), workers=3, share=Shard(1, 2)))


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_note_of_the_start_is_named(study: Study, trained: Trained, content: str) -> None:
    started(study)
    (study.out / "study.json").write_text(content)
    with pytest.raises(SemclError, match=r"(?s)study\.json cannot be used.*start another study with --out"):
        study.run()


# what is refused before anything runs


REFUSED = {
    "no seed": ({"seeds": 0}, r"at least one seed and one worker.*--seeds 0, --workers 1"),
    "no strategy": ({"strategies": []}, "no strategy is given"),
    "an unknown overlay": ({"overlays": ["fats"]}, r"no such overlay.*no fats.*--overlay"),
    "a stage as an overlay": ({"overlays": ["train"]}, r"train\.yaml is the config of a stage"),
    "a typo in the numbers": ({"numbers": {"temprature": 1}}, "no stage reads temprature.*did you mean temperature"),
    "no amount of labels": ({"labels": ["200%"]}, "not an amount of labels"),
    "a share that leaves too few patients": (
        {"labels": ["10%"], "strategies": ["{folder}/crossed.yaml"]},
        r"10% of labels cannot be drawn.*1 of 6.*2 or more",
    ),
    "more patients than there are": ({"labels": ["2", "7"]}, r"7 patients of labels cannot be drawn.*7 of 6"),
    "too many folds": ({"folds": 20}, "--folds 20, 8 patients"),
    "a baseline that is not run": ({"baseline": "organ"}, "baseline.*organ"),
    "a contrast that is none": ({"contrasts": ["semantic"]}, "a contrast cannot be understood"),
    "budgets given twice": ({"budget": 60, "budgets": [1, 1]}, "budgets must be given, each only once"),
    "a budget below what is fixed": ({"budget": 5}, r"the budget is too small for \w+: \w+ could not train.*at least"),
    "a length in the strategy's place": (
        {"budget": 60, "strategies": ["{folder}/long.yaml"]}, "the study sets max_epochs itself.*--budget 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_invalid_studies_are_refused(
    study: Study, trained: Trained, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    strategy_file(tmp_path, "long", "max_epochs: 3\n")
    strategy_file(tmp_path, "crossed")
    given = {
        key: [one.format(folder=tmp_path) for one in value] if key == "strategies" else value
        for key, value in changes.items()
    }
    with pytest.raises(SemclError, match=f"(?s){message}"):
        with_design(study, **given).run()
    assert trained.titles == []
    assert not (study.out / "runs").exists()


PLACES = {
    "no worker": ({"workers": -1}, r"at least one seed and one worker.*--workers -1"),
    "a typo in a sweep": ({"sweep": "temprature=1,2"}, "no stage reads temprature.*did you mean temperature"),
    "no cohort": ({"dataset_dir": Path("nowhere")}, "dataset_dir is not a folder"),
    "no bundle": ({"bundle_root": Path("nowhere")}, r"the bundle is missing.*set --bundle_root"),
    "no coarse map": (
        {"design": design_of(strategies=["multiclass"], contrasts=[], baseline=FLOOR)},
        "--baseline.*coarse map",
    ),
    "no attention": ({"attention_dir": Path("nowhere")}, r"attention maps are missing.*14 of 14 cases"),
}


@pytest.mark.parametrize(("changes", "message"), PLACES.values(), ids=PLACES.keys())
def test_invalid_places_are_refused(study: Study, trained: Trained, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SemclError, match=f"(?s){message}"):
        replace(study, **changes).run()
    assert trained.titles == []


@pytest.mark.parametrize("note", ["attention.json", "predictions.json"])
def test_maps_that_a_stage_wrote_are_refused(study: Study, trained: Trained, note: str) -> None:
    """They have learnt from label maps of the cohort, so that they would bring all of them into every run."""
    folder = study.dataset_dir / "attention"
    (folder / note).write_text(json.dumps({"cohort": "c0ffee"}))
    message = (
        r"(?s)have learnt from the cohort's own label maps.*that a stage wrote, as .*json.*leave out --attention_dir"
    )
    with pytest.raises(SemclError, match=message):
        replace(study, attention_dir=folder).run()
    assert not study.out.exists()


def test_an_organ_that_a_draw_leaves_without_labels_is_named(study: Study, trained: Trained) -> None:
    partly = [
        replace(case, annotated=("liver", "nobody's") if case.patient not in ("p1", "p8", "p9") else None)
        for case in datalist.load(study.dataset_dir)
    ]
    datalist.save(partly, study.dataset_dir)
    with pytest.raises(SemclError, match=r"(?s)2 patients of labels leave bile_duct without any.*seed \d draws"):
        with_design(study, seeds=8).run()
    assert trained.titles == []


def test_a_folder_of_something_else_is_not_written_into(study: Study, trained: Trained) -> None:
    with pytest.raises(SemclError):
        replace(study, out=study.dataset_dir / "images").run()
    assert trained.titles == []


@pytest.mark.parametrize("key", ["seed", "encoder_weights", "labelled", "store_dir", "coarse_dims"])
def test_an_overlay_does_not_set_what_the_study_sets(study: Study, tmp_path: Path, key: str) -> None:
    path = str(overlay(tmp_path, "mine", f"{key}: 1\nfreeze_encoder: true\n"))
    with pytest.raises(SemclError, match=rf"(?s)the study sets {key} itself\n.*the preset or overlays"):
        with_design(study, overlays=[path]).plan()


SWEEPS = re.findall(r"--sweep ([^`\s]+)", (ROOT / "docs" / "study.md").read_text())


@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweeps_of_the_docs_are_valid(study: Study, sweep: str) -> None:
    plan = replace(with_design(study, strategies=["semantic"]), sweep=sweep).plan()
    assert len(plan.strategies) > 1


def test_stages_that_spend_the_budget_are_those_of_the_docs() -> None:
    text = (ROOT / "docs" / "study.md").read_text()
    assert all(stage in text for stage in PIPELINE_STAGES)


# the command line


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the command line makes of words."""

    def read(*words: str) -> Study:
        found: list[Study] = []
        monkeypatch.setattr(Study, "run", lambda study: found.append(study))  # noqa: PLW0108  # it is a method
        monkeypatch.setattr(sys, "argv", ["semcl", "study", *words])
        command_line.main()
        return found[0]

    return read


def test_the_command_line_s_defaults_are_the_preset_s_wherever_it_is_called(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert given("--dataset_dir", "cohort") == Study(
        dataset_dir=Path("cohort"), bundle_root=BUNDLE, out=Path("cohort/study"),
        design=read_design("small", BUNDLE / "configs", {}), sweep=None, attention_dir=None,
        tolerance=2.0, workers=usual_workers(), share=None,
    )  # fmt: skip


def test_a_part_that_is_none_is_refused_first(given: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        given("cohort", "--shard", "3/2")
    assert "not a shard\n  found:    --shard 3/2" in capsys.readouterr().err


def test_the_command_line_s_words(given: Any, tmp_path: Path) -> None:
    numbers = tmp_path / "my numbers.yaml"
    numbers.write_text("margin: 4\n")
    study = given(
        "cohort", "--preset", "smoke", "--strategies", "semantic,my own/warm start.yaml", "--labels", "2,10%,100%",
        "--budget", "30", "--budgets", "0.5,1,2", "--overlay", str(numbers), "--sweep", "temperature=0.1,0.2",
        "--shard", "1/12", "--workers", "2", "--seeds", "5", "--folds", "4", "--out", "2026", "--tolerance", "1",
        "--baseline", "warm start", "--attention_dir", "maps",
    )  # fmt: skip
    design = study.design
    assert design.strategies == ["semantic", "my own/warm start.yaml"]
    assert [amount.name for amount in design.amounts] == ["2 patients", "10%", "100%"]
    assert [cell.budget for cell in design.cells[:3]] == [15, 30, 60]
    assert (design.numbers["margin"], design.baseline, design.seeds, design.folds) == (4, "warm start", 5, 4)
    assert (study.sweep, study.share, study.out) == ("temperature=0.1,0.2", Shard(1, 12), Path("2026"))
    assert (study.workers, study.tolerance, study.attention_dir) == (2, 1, Path("maps"))
    assert design.contrasts == read_design("smoke", BUNDLE / "configs", {}).contrasts


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "2.5"], "--seeds is not a whole number"),
        (["--folds", "many"], "--folds is not a number"),
        (["--workers", "0.5"], "--workers is not a whole number"),
        (["--budget", "-1"], "--budget cannot be -1"),
        (["--budgets", "1,none"], "--budgets is not a list of numbers"),
        (["--preset", "smkoe"], "there is no such preset.*did you mean smoke"),
        (["--strategy", "semantic"], "study has no option --strategy.*did you mean --strategies"),
    ],
)
def test_the_command_line_refuses(
    given: Any, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        given("cohort", *words)
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert re.search(message, said, re.S)
