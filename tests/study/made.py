"""Studies the tests share: cases without scans, a bundle whose configs may be changed, runs without training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.evaluate.metrics import METRICS
from scripts.evaluate.rows import Row, write_rows
from scripts.study.budget import Cost
from scripts.study.design import Design
from scripts.study.labels import parse_labels
from scripts.study.pipeline import Pipelines, cost_key
from scripts.study.plan import Cell, Plan, Run
from scripts.study.results import Results
from scripts.study.splits import split_cases
from scripts.study.stage_keys import StageKeys
from scripts.study.stage_shares import SELF_TRAINING, teacher
from scripts.study.step import Step
from scripts.study.step_process import METHOD
from scripts.study.strategy import FLOOR, find_strategies
from tests.stages import ROOT

BUNDLE = ROOT / "bundle"
KEYS = StageKeys(BUNDLE)
SHIPPED = sorted(path.stem for path in (BUNDLE / "configs" / "strategies").glob("*.yaml"))
TABLE = LabelTable((Organ("liver", 5), Organ("bile_duct", 2), Organ("nobody's", 3)), ("noncontrast", "portal"))
COSTS = {  # of stages on a device nobody has
    "coarse": Cost(step=0.05, fixed=0.0, case=0.2, samples=1, flops=1e9),
    "store": Cost(step=0.0, fixed=0.0, case=0.25),
    "pretrain": Cost(step=0.1, fixed=0.3, case=0.0, samples=64, flops=4e9),
    "train": Cost(step=0.08, fixed=1.0, case=0.0, samples=32, flops=6e9),
    "pretrain_slices": Cost(step=0.2, fixed=0.0, case=0.3, samples=8, flops=8e9),
    "segment": Cost(step=0.3, fixed=0.5, case=0.3, samples=8, flops=9e9),
    "self_training": Cost(step=0.25, fixed=0.5, case=0.25, samples=8, flops=9e9),
    "pseudo_labels": Cost(step=0.0, fixed=0.5, case=0.75),
    "plain_pseudo_labels": Cost(step=0.0, fixed=0.25, case=0.5),
}


def write_cases(folder: Path, labelled: int = 6, unlabelled: int = 2, testing: int = 2) -> list[Case]:
    """Cases whose files are words: of every third patient two scans, those of ``testing`` patients to be tested."""
    cases = []
    for number in range(labelled + unlabelled + testing):
        for phase in TABLE.phases[: 1 + (number % 3 == 0)]:
            name = f"p{number}_{phase}"
            files = {kind: folder / kind / f"{name}.nii.gz" for kind in ("images", "labels", "attention")}
            known = not labelled <= number < labelled + unlabelled
            for kind, path in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                if kind != "labels" or known:
                    path.write_text(f"{kind} of {name}")
            fold = None if number >= labelled + unlabelled else number % 2
            cases.append(Case(name, f"p{number}", phase, files["images"], files["labels"] if known else None, fold))
    return cases


def copied_bundle(folder: Path) -> Path:
    """A bundle whose configs a test may change."""
    shutil.copytree(BUNDLE / "configs", folder / "configs")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    return folder


def cells_of(labels: Iterable[str] = ("2",), budgets: Iterable[float | None] = (None,)) -> tuple[Cell, ...]:
    """Every amount of labels with every budget."""
    listed = list(budgets)
    return tuple(Cell(amount, budget) for amount in parse_labels(list(labels)) for budget in listed)


def made_plan(
    folder: Path,
    strategies: Sequence[str] = ("scratch", "semantic"),
    bundle: Path = BUNDLE,
    folds: int = 0,
    **changes: Any,
) -> Plan:
    """A plan of two strategies, two seeds and one cell of two labelled patients, unless changed."""
    cases = changes.pop("cases", None) or write_cases(folder / "cohort")
    keys_of = StageKeys(bundle)
    given = {
        "out": folder / "study",
        "keys_of": keys_of,
        "strategies": tuple(find_strategies(strategies, keys_of)),
        "splits": split_cases(cases, folds),
        "cases": cases,
        "table": TABLE,
        "cells": cells_of(),
        "seeds": 2,
        "numbers": {},
        "attention_dir": None,
        "tolerance": 2.0,
    }
    return Plan(**(given | changes))


def costs_of(plan: Plan, known: Mapping[str, Cost] = COSTS) -> dict[str, Cost]:
    """A cost of every stage of every strategy, of the store and of pseudo-labels."""
    return {
        cost_key(plan, strategy, stage): known[stage]
        for strategy in plan.strategies
        for stage in (
            "store",
            *strategy.stages,
            *([teacher(strategy.stages)] if SELF_TRAINING in strategy.stages else []),
        )
    }


def made_pipelines(plan: Plan) -> Pipelines:
    """Pipelines whose lengths are fitted to made-up costs where the plan has a budget."""
    return Pipelines(plan, costs_of(plan) if any(cell.budget for cell in plan.cells) else None)


def run_of(plan: Plan, strategy: str, seed: int = 0, cell: int = 0, split: str | None = None) -> Run:
    """One of a plan's runs."""
    (found,) = (
        run
        for run in plan.runs()
        if (run.strategy.name, run.seed, run.cell) == (strategy, seed, plan.cells[cell]) and split in (None, run.split)
    )
    return found


def steps_of(pipelines: Pipelines, strategy: str, **which: Any) -> dict[str, Step]:
    """Stage, or variant of one, -> step of one run."""
    return {step.folder.name.split()[0]: step for step in pipelines.steps(run_of(pipelines.plan, strategy, **which))}


def design_of(**changes: Any) -> Design:
    """The design that ``made_plan`` and ``made_results`` follow, unless changed."""
    given: dict[str, Any] = {
        "strategies": ["scratch", "semantic"],
        "labels": ["2"],
        "seeds": 2,
        "budget": 0,
        "budgets": [1],
        "folds": 0,
        "contrasts": ["semantic - scratch"],
        "equivalence": 0.01,
        "baseline": "scratch",
    }
    return Design(**(given | changes))


def rows_of(method: str, dice: Mapping[tuple[str, str], float]) -> list[Row]:
    """Rows of one scan per patient from (patient, organ) -> Dice, with other metrics made of it and a volume."""
    found = []
    for (patient, organ), value in dice.items():
        where = (f"{patient}_scan", patient, organ, TABLE.phases[int(patient[1:]) % 2], method)
        found += [Row(*where, metric.name, value if metric.name == "dice" else value / 2) for metric in METRICS]
        found.append(Row(*where, "volume_ml", 12.0))
    return found


def dice_of(patients: int, level: float, rng: np.random.Generator) -> dict[tuple[str, str], float]:
    """Dice near a level; every patient but the first has the duct, nobody the third organ."""
    return {
        (f"p{number}", organ): float(np.clip(level + rng.normal(0, 0.05), 0, 1))
        for number in range(patients)
        for organ in TABLE.names[:2]
        if number or organ == "liver"
    }


def write_step(step: Step, seconds: float = 10.0, rows: Sequence[Row] = ()) -> None:
    """What a step leaves behind, without its networks: manifest, cost, rows of what it predicts, embeddings."""
    note = {"status": "completed", "stage": step.stage, "peak_memory": {"resident_mib": 100 + int(seconds)}}
    step.manifest.parent.mkdir(parents=True, exist_ok=True)
    step.manifest.write_text(json.dumps(note))
    cost = {"training": 0.8 * seconds, "steps": 100, "samples": 640} if step.counts and step.stage != "store" else {}
    (step.folder / "cost.json").write_text(json.dumps({**cost, "whole": seconds}))
    if step.predicts:
        write_rows(step.rows, rows)
    if step.stage == "embed":
        (step.folder / "embeddings").mkdir()
        measures = [
            {"title": "same organ", "found": [0.25, 0.5 + step.overrides["seed"] / 4, 0.1]},
            {"title": "rank", "found": [0.5, None, None]},
        ]
        content = {"encoders": ["untrained", "pretrained", "chance"], "measures": measures}
        (step.folder / "embeddings" / "summary.json").write_text(json.dumps(content))


def made_results(
    plan: Plan, levels: Mapping[str, float], patients: int = 6, seed: int = 0, per_fold: bool = False
) -> Results:
    """A finished study: strategy -> mean Dice; the coarse map is at 0.5 unless ``FLOOR`` is given.

    ``per_fold``: of each split only the patients whose number says so are tested.
    """
    rng, pipelines, splits = np.random.default_rng(seed), made_pipelines(plan), list(plan.splits)
    for run in plan.runs():
        for step in pipelines.steps(run):
            if not step.completed:
                is_map = step.makes_maps and run.strategy.refines
                level = levels.get(FLOOR, 0.5) if is_map else levels[run.strategy.name]
                dice = dice_of(patients, level, rng)
                if per_fold:
                    part = splits.index(run.split)
                    dice = {key: value for key, value in dice.items() if int(key[0][1:]) % len(splits) == part}
                write_step(step, rows=rows_of(METHOD, dice))
    return Results(plan, pipelines)


def overlay(folder: Path, name: str, text: str) -> Path:
    """A file of a strategy, or of numbers."""
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def strategy_file(folder: Path, name: str, text: str = "{}", stages: str = "{coarse: 0.4, train: 0.6}") -> str:
    """The path of a strategy of one's own."""
    return str(overlay(folder, name, f"stages: {stages}\n" + ("" if text == "{}" else text)))
