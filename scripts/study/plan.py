"""What a study runs: every strategy on every split, amount of labels, budget and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ..coarse.config import SLICES
from ..cohort.attention import attention_path
from ..cohort.case import Case, digest
from ..cohort.label_table import LabelTable
from ..errors import SemclError, raise_all
from ..files import checksum
from ..job import config_check, overlays
from ..job.shipped_configs import shipped
from ..version import __version__
from .labels import Amount, with_labels_of
from .splits import write_datalist
from .stage_keys import StageKeys, over, short_hash
from .stage_shares import SELF_TRAINING, teacher
from .strategy import Strategy


@dataclass(frozen=True)
class Cell:
    """One table of a study: how many labels, and how much training.

    Args:
        labels: the patients whose label maps may be used.
        budget: training seconds of a device; None where the configs' own lengths hold.
    """

    labels: Amount
    budget: float | None

    @property
    def name(self) -> str:
        """The cell in words."""
        return self.labels.name + ("" if self.budget is None else f", {self.budget:g} s")


@dataclass(frozen=True)
class Run:
    """A strategy trained once: on a split, in a cell, with a seed."""

    split: str
    cell: Cell
    seed: int
    strategy: Strategy

    @property
    def title(self) -> str:
        """The run in words."""
        return f"{self.strategy.name}, {self.cell.name}, split {self.split}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a study runs.

    Args:
        out: the study's folder.
        keys_of: the bundle's configs.
        strategies: the strategies that are compared.
        splits: name -> cases.
        cases: all cases of the cohort.
        table: the label table.
        cells: amounts of labels with budgets.
        seeds: how many seeds.
        numbers: keys of the configs for all stages, from presets and overlays; ``stage.key`` for one stage alone.
        attention_dir: folder of attention maps made elsewhere; None: strategies' own networks make them.
        tolerance: of NSD, mm, for organs without one in the label table.
        embeddings: whether pretrained encoders are examined by the embed stage.
        modality: of the cohort where it is not CT, noted in every datalist.
    """

    out: Path
    keys_of: StageKeys
    strategies: tuple[Strategy, ...]
    splits: Mapping[str, Sequence[Case]]
    cases: Sequence[Case]
    table: LabelTable
    cells: tuple[Cell, ...]
    seeds: int
    numbers: Mapping[str, Any]
    attention_dir: Path | None
    tolerance: float
    embeddings: bool = True
    modality: str | None = None

    def runs(self) -> list[Run]:
        """All runs, every strategy of a cell and seed before the next seed, so that early results can be compared."""
        return [
            Run(split, cell, seed, strategy)
            for seed in range(self.seeds)
            for split in self.splits
            for cell in self.cells
            for strategy in self.strategies
        ]

    @cached_property
    def least(self) -> int:
        """The fewest labelled patients that all strategies can learn from."""
        return 2 if any(self.cross_fits(strategy) for strategy in self.strategies) else 1

    @cache  # noqa: B019  # a plan lives as long as its study
    def members(self, split: str, labels: Amount, seed: int) -> list[Case]:
        """The cases of a split, with the label maps that a seed draws."""
        return with_labels_of(self.splits[split], labels, seed, self.table.names, self.least)

    def dataset_dir(self, split: str, labels: Amount, seed: int) -> Path:
        """The folder of their datalist."""
        return self.out / "splits" / split / labels.name / f"seed {seed}"

    def write_datalists(self) -> None:
        """Write the datalist of every split, amount of labels and seed, in which only the drawn label maps are named.

        Raises:
            SemclError: where labels cannot be drawn.
        """
        for split in self.splits:
            for labels in dict.fromkeys(cell.labels for cell in self.cells):
                for seed in range(self.seeds):
                    folder = self.dataset_dir(split, labels, seed)
                    write_datalist(self.members(split, labels, seed), folder, self.table, self.cases, self.modality)

    @cache  # noqa: B019  # as above
    def data(self, split: str, labels: Amount, seed: int) -> str:
        """A hash of the label table, the cases, the sizes of their images and the label maps of a datalist."""
        cases = self.members(split, labels, seed)
        maps = [None if case.label is None else _checksum(case.label) for case in cases]
        given = (
            []
            if self.attention_dir is None
            else [_checksum(attention_path(self.attention_dir, case.id)) for case in cases]
        )
        images = [_bytes(case.image) for case in cases]
        annotated = [case.annotated for case in cases]
        return short_hash([self.table.content(), digest(cases), annotated, images, maps, given])

    def numbers_of(self, strategy: Strategy, stage: str) -> dict[str, Any]:
        """The keys that a strategy sets in a stage: of presets and overlays, then its own."""
        given = over(self.numbers, strategy.numbers)
        if strategy.coarse_stage == "segment" and self.attention_dir is None:
            given["coarse_dims"] = SLICES
        return self.keys_of.part(stage, given)

    @property
    def has_floor(self) -> bool:
        """Whether there are coarse maps that strategies refine, which are measured too."""
        return any(strategy.refines for strategy in self.strategies)

    def cross_fits(self, strategy: Strategy) -> bool:
        """Whether a strategy's coarse network is also trained without each fold."""
        default = self.keys_of.contents["coarse"]["labelled_maps"]
        maps = self.numbers_of(strategy, "coarse").get("labelled_maps", default)
        return self.attention_dir is None and strategy.coarse_stage == "coarse" and maps == "cross-fitted"

    def settings(self, strategy: Strategy) -> dict[str, Any]:
        """All that a strategy's results depend on beside the data, by stage."""
        found: dict[str, Any] = {"stages": strategy.stages, "version": __version__}
        for stage in self.stages(strategy):
            if stage == "embed":
                continue  # nothing depends on it
            numbers = self.numbers_of(strategy, stage)
            found[stage] = [self.keys_of.version(stage), {key: str(value) for key, value in sorted(numbers.items())}]
        return found

    def stages(self, strategy: Strategy) -> list[str]:
        """Every stage that a strategy runs, also those that spend none of the budget; none that makes given maps."""
        left_out = set() if self.attention_dir is None else set(strategy.map_stages)
        if SELF_TRAINING in left_out:
            left_out.add(teacher(strategy.stages))
        return [stage for stage in strategy.all_stages if stage not in left_out]

    def shares(self, run: Run) -> dict[str, float]:
        """The stages that a run trains, in order, with their shares of the budget.

        The last one gets the shares of those that make maps where maps are given, and that of self-training where
        every scan has a label map.
        """
        shares = run.strategy.stages
        left_out = set() if self.attention_dir is None else set(run.strategy.map_stages)
        members = self.members(run.split, run.cell.labels, run.seed)
        if all(case.label is not None for case in members if case.fold is not None):
            left_out.add(SELF_TRAINING)
        trained = {stage: share for stage, share in shares.items() if stage not in left_out}
        trained[list(trained)[-1]] += sum(share for stage, share in shares.items() if stage in left_out)
        return trained

    def check(self) -> None:
        """Check the config of every stage of every strategy, as the stages do, before anything runs.

        Raises:
            SemclError: naming the strategy, for unknown keys and values of the wrong type.
        """
        stages = [(strategy, stage) for strategy in self.strategies for stage in self.stages(strategy)]
        raise_all([error for strategy, stage in stages for error in self._wrong(strategy, stage)], of="the configs")

    def _wrong(self, strategy: Strategy, stage: str) -> list[SemclError]:
        """What is wrong with the config of a stage of a strategy."""
        ships = shipped(self.keys_of.folder.parent, self.keys_of.base(stage))
        files, numbers = self.keys_of.files(stage), self.numbers_of(strategy, stage)
        try:
            errors = config_check.check_config(overlays.merged(files, numbers), ships.own, ships.others)
        except SemclError as error:
            errors = [error]
        return [
            SemclError(
                f"{strategy.name}, {stage}: {error.problem}",
                found=error.found,
                expected=error.expected,
                remedy=error.remedy,
            )
            for error in errors
        ]


def _bytes(image: Path) -> int | None:
    """The size of a file; a folder of a scan's slices has none."""
    return image.stat().st_size if image.is_file() else None


_checksum = cache(checksum)
