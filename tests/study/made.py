"""Studies the tests share: cases without scans, a bundle whose configs may be changed, cells without training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.evaluate.metrics import METRICS
from scripts.evaluate.rows import Row, write_rows
from scripts.study.cells import parse_cells
from scripts.study.plan import Plan, Unit, hash_data
from scripts.study.results import Results
from scripts.study.splits import write_splits
from scripts.study.strategy import FLOOR, Strategy, find_strategies
from tests.stages import ROOT

BUNDLE = ROOT / "bundle"
TABLE = LabelTable((Organ("liver", 5), Organ("bile_duct", 2), Organ("nobody's", 3)), ("noncontrast", "portal"))


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


def made_plan(folder: Path, bundle: Path = BUNDLE, folds: int = 0, **changes: Any) -> Plan:
    """A plan of two strategies, two seeds and one cell, unless changed."""
    cases = write_cases(folder / "cohort")
    splits = write_splits(cases, TABLE, folder / "study", folds)
    attention = folder / "cohort" / "attention"
    given = {
        "out": folder / "study",
        "bundle_root": bundle,
        "overlays": (),
        "strategies": tuple(find_strategies(["scratch", "semantic"], bundle)),
        "splits": splits,
        "seeds": 2,
        "cells": parse_cells(["frozen"], ["100%"]),
        "attention_dir": attention,
        "tolerance": 2.0,
        "data": hash_data(splits, attention),
    }
    return Plan(**(given | changes))


def rows_of(method: str, dice: dict[tuple[str, str], float]) -> list[Row]:
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


def write_unit(plan: Plan, unit: Unit, rows: Sequence[Sequence[Row]]) -> None:
    """What a unit leaves behind, without its networks: rows of each cell, manifests, queries seen, embeddings."""
    seconds = {"pretrain": 10.0, "embed": 1.0} if unit.strategy.pretrains else {}
    if unit.strategy.pretrains:
        (unit.folder / "embeddings").mkdir(parents=True)
        measures = [
            {"title": "same organ", "found": [0.25, 0.5 + unit.seed / 4, 0.1]},
            {"title": "rank", "found": [0.5, None, None]},
        ]
        content = {"encoders": ["untrained", "pretrained", "chance"], "measures": measures}
        (unit.folder / "embeddings" / "summary.json").write_text(json.dumps(content))
    write_jobs(unit.folder, seconds, {"pretrain": 520} if seconds else {})
    for cell, of_cell in zip(plan.cells, rows, strict=True):
        folder = unit.cell_folder(cell)
        write_jobs(folder, {"train": 20.0 + unit.seed, "inference": 4.0}, {"train": 640})
        write_rows(folder / "rows.csv", of_cell)


def write_jobs(folder: Path, seconds: dict[str, float], queries: dict[str, int]) -> None:
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    for stage, took in seconds.items():
        note = {
            "stage": stage,
            "status": "completed",
            "seconds": took,
            "peak_memory": {"resident_mib": 100 + int(took)},
        }
        (folder / "jobs" / f"{stage}.json").write_text(json.dumps(note))
    if queries:
        (folder / "queries_seen.json").write_text(json.dumps(queries))


def made_results(plan: Plan, levels: dict[str, float], patients: int = 6, seed: int = 0) -> Results:
    """A finished study: strategy -> mean Dice; the coarse map is at 0.5."""
    rng = np.random.default_rng(seed)
    floor = [row for row in rows_of(FLOOR, dice_of(patients, 0.5, rng)) if row.metric != "volume_ml"]
    for unit in plan.units():
        level = levels[unit.strategy.name]
        write_unit(plan, unit, [rows_of(unit.strategy.name, dice_of(patients, level, rng)) for _ in plan.cells])
    return Results(plan, dict.fromkeys(plan.splits, floor), TABLE.names, TABLE.phases)


def overlay(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def strategy_of(folder: Path, name: str, text: str) -> Strategy:
    return Strategy(name, overlay(folder, name, text))
