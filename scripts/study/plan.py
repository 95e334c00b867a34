"""What a study runs: units, each a pretraining and the cells that build on it, with a folder of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from ..cohort.attention import attention_path
from ..cohort.case import digest
from ..cohort.datalist import load
from ..cohort.label_table import LabelTable
from ..errors import SemclError, raise_all
from ..files import checksum
from ..job import config_check, overlays
from ..version import __version__
from .cells import PROTOCOLS, Cell
from .strategy import SELF_TRAINING, Strategy, group, nested, read_overlay
from .unit_process import OWN_STORE

FIRST = "first"  # folder within a self-training cell's, for the model whose predictions the second one learns from


@dataclass(frozen=True)
class Unit:
    """One pretraining (a strategy on a split with a seed) and the cells that start from its encoder."""

    split: str
    strategy: Strategy
    seed: int
    folder: Path

    def cell_folder(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.folder / cell.name

    @property
    def title(self) -> str:
        """Strategy, split and seed in words."""
        return f"{self.strategy.name}, split {self.split}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """Everything a study runs.

    Args:
        out: the study's folder.
        bundle_root: the bundle's folder.
        overlays: config files given to every stage, in order.
        strategies: the strategies that are compared.
        splits: name -> folder with the datalist.
        seeds: how many seeds.
        cells: the cells of each unit.
        attention_dir: folder of the attention maps of all cases.
        tolerance: of NSD, mm, for organs without one in the label table.
        data: split -> hash of its training and testing data.
    """

    out: Path
    bundle_root: Path
    overlays: tuple[Path, ...]
    strategies: tuple[Strategy, ...]
    splits: dict[str, Path]
    seeds: int
    cells: tuple[Cell, ...]
    attention_dir: Path
    tolerance: float
    data: dict[str, str]

    def units(self) -> list[Unit]:
        """All units, every strategy and split of a seed before the next seed, so that early results can be compared."""
        return [
            Unit(split, strategy, seed, self.out / "runs" / split / quote(strategy.name, " =,") / f"seed {seed}")
            for seed in range(self.seeds)
            for split in self.splits
            for strategy in self.strategies
        ]

    def store(self, strategy: Strategy) -> Path:
        """The query store of a strategy: one for all, except strategies whose queries may differ."""
        return self.out / "stores" / (quote(strategy.name, " =,") if strategy.own_grid else "store")

    def settings(self, unit: Unit) -> dict[str, Any]:
        """All that a unit's results depend on: numbers, and hashes of the contents of files."""
        stages = dict.fromkeys(step["stage"] for step in steps(self, unit))
        files = [self.bundle_root / "configs" / f"{name}.yaml" for name in ("common", *stages)]
        return {
            **{path.name: _numbers(path.read_text(encoding="utf-8")) for path in files},
            "overlays": [_numbers(path.read_text(encoding="utf-8")) for path in self.overlays],
            "strategy": _numbers(unit.strategy.overlay.read_text(encoding="utf-8")),
            "sweep": {key: str(value) for key, value in unit.strategy.overrides.items()},
            "cohort": self.data[unit.split],
            "tolerance": self.tolerance,
            "version": __version__,
        }

    def check(self) -> None:
        """Check every stage's config with its overlays and overrides, as the stages do, before anything runs.

        Raises:
            SemclError: naming the strategy, for unknown keys and values of the wrong type, and for strategies that need
                unlabelled scans where there are none.
        """
        errors = [
            SemclError(
                f"{strategy.name} has nothing to learn from a second time",
                found=f"no training scan without a label map in {folder}",
                expected="unlabelled scans, which a first model segments and a second learns from",
                remedy="leave the strategy out, or prepare the cohort with unlabelled scans, or --labelled_phases",
            )
            for strategy in self.strategies
            if strategy.trains_itself
            for folder in self.splits.values()
            if all(case.label for case in load(folder, "training"))
        ]
        for strategy in self.strategies:
            unit = Unit(next(iter(self.splits)), strategy, 0, self.out)
            for step in {step["stage"]: step for step in steps(self, unit)}.values():
                errors += self._step_errors(strategy, step)
        raise_all(errors, of="the configs")

    def _step_errors(self, strategy: Strategy, step: Mapping[str, Any]) -> list[SemclError]:
        """The errors in the config of one stage of a strategy."""
        stage = step["stage"]
        shipped = config_check.shipped(self.bundle_root, stage)
        misplaced = [
            SemclError(
                f"{strategy.name}: {stage} has no place for {key}",
                found=f"{key} in {path}, which is given to all stages",
                expected=f"a key within one that every stage has; {stage} has no {group(key)}",
                remedy=f"set it for one stage alone: --sweep pretrain.{key}=... or train.{key}=...",
            )
            for path in step["files"][1:]
            for key in nested(read_overlay(Path(path)))
            if group(key) not in shipped.own
        ]
        if misplaced:  # MONAI cannot merge them
            return misplaced
        merged = overlays.merged(step["files"], step["overrides"])
        return [
            SemclError(
                f"{strategy.name}, {stage}: {error.problem}",
                found=error.found,
                expected=error.expected,
                remedy=error.remedy,
            )
            for error in config_check.check_config(merged, shipped.own, shipped.others)
        ]


def hash_data(splits: dict[str, Path], attention_dir: Path) -> dict[str, str]:
    """Split -> hash of its label table, its cases, and their attention and label maps."""
    read = cache(checksum)
    found = {}
    for name, folder in splits.items():
        cases = load(folder)
        maps = [path for case in cases for path in (attention_path(attention_dir, case.id), case.label) if path]
        members = [digest(cases), [case.annotated for case in cases]]
        found[name] = _hash([LabelTable.load(folder).content(), members, [read(path) for path in maps]])
    return found


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:12]


@cache
def _numbers(text: str) -> str:
    """A hash of a config file's values, which comments do not change."""
    return _hash(yaml.safe_load(text))


def steps(plan: Plan, unit: Unit) -> list[dict[str, Any]]:
    """The stages of a unit in order, as ``unit_process`` runs them: config files, and overrides with output folders."""
    shared = [*map(str, plan.overlays), str(unit.strategy.overlay)]
    base = {
        "bundle_root": str(plan.bundle_root),
        "dataset_dir": str(plan.splits[unit.split]),
        "attention_dir": str(plan.attention_dir),
        "seed": unit.seed,
    }
    store = {"store_dir": str(plan.store(unit.strategy))}
    encoder = str(unit.folder / "models" / "encoder.pt")
    found = []

    def add(stage: str, folder: Path, title: str, **overrides: Any) -> None:
        files = [str(plan.bundle_root / "configs" / f"{stage}.yaml"), *shared]
        own = {**base, **unit.strategy.overrides_of(stage), "output_dir": str(folder), **overrides}
        found.append({"stage": stage, "title": title, "files": files, "overrides": own})

    if unit.strategy.pretrains:
        add("pretrain", unit.folder, "pretrain", **store)
        add("embed", unit.folder, "embed", map_points=600, **store)
    for cell in plan.cells:
        folder = unit.cell_folder(cell)
        learn: dict[str, Any] = {"freeze_encoder": PROTOCOLS[cell.protocol], "labelled": cell.labelled}
        if unit.strategy.pretrains:
            learn["encoder_weights"] = encoder
        if unit.strategy.trains_itself:
            first = folder / FIRST
            add("train", first, f"{cell.name} first train", **learn, **store)
            add("inference", first, f"{cell.name} predicting unlabelled scans", section="unlabelled")
            second = {"pseudo_dir": str(first / "predictions"), "store_dir": str(folder / OWN_STORE)}
            add("train", folder, f"{cell.name} train", **learn, **second)
            add("inference", folder, f"{cell.name} inference", **{SELF_TRAINING: None})
        else:
            add("train", folder, f"{cell.name} train", **learn, **store)
            add("inference", folder, f"{cell.name} inference")
    return found
