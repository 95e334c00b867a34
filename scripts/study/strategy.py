"""Training strategies: each a whole pipeline, its stages with their shares of the budget and a few numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SemclError
from ..job.overlays import PATHS, STAGES
from ..plain import read_text, read_yaml, short
from .stage_keys import StageKeys, group, over
from .stage_shares import SELF_TRAINING, check_stages, in_order, predictor, teacher

STRATEGIES = "strategies"  # of the bundle's configs
KEYS = "YAML with keys of the configs"
FLOOR = "coarse map"  # what the strategies that refine start from
OWN = {  # set by the study
    *(PATHS - {"decoder_weights"}),
    *("section", "seed", "labelled", "resume", "coarse_dims", "finetune", "finetune_model_path"),
    *("val_interval", "calibration_share", "map_points"),
}
LENGTH_KEYS = {"max_epochs", "epoch_length"}  # set by the study where there is a budget


@dataclass(frozen=True)
class Strategy:
    """A strategy, or one point of a sweep of it.

    Args:
        name: the overlay's name, with the value for a point of a sweep.
        overlay: the config file.
        overrides: keys and values of the sweep; ``stage.key`` for one stage alone.
    """

    name: str
    overlay: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def stages(self) -> dict[str, float]:
        """The stages that train, in their order, each with its share of the budget."""
        return in_order(read_overlay(self.overlay)[STAGES])

    @property
    def all_stages(self) -> list[str]:
        """Every stage that it runs, also those that spend none of the budget."""
        trained = self.stages
        of_queries = {"pretrain", "train"} & set(trained)
        others = {
            "store": bool(of_queries),
            "embed": "pretrain" in trained,
            teacher(trained): SELF_TRAINING in trained,
            predictor(trained) or "": predictor(trained) is not None,
        }
        return [*trained, *(stage for stage, runs in others.items() if runs)]

    @property
    def numbers(self) -> dict[str, Any]:
        """The overlay's keys and those of the sweep."""
        return over({key: value for key, value in read_overlay(self.overlay).items() if key != STAGES}, self.overrides)

    @property
    def coarse_stage(self) -> str | None:
        """The stage whose maps later stages learn from: coarse, or segment before train; None without such maps."""
        if {"segment", "train"} <= set(self.stages):
            return "segment"
        return "coarse" if "coarse" in self.stages and len(self.stages) > 1 else None

    @property
    def map_stages(self) -> tuple[str, ...]:
        """The stages that make its maps, which it does without where maps are given."""
        if self.coarse_stage is None:
            return ()
        stages = list(self.stages)
        first = stages[: stages.index(self.coarse_stage) + 1]
        return (*first, *(stage for stage in stages if stage == SELF_TRAINING))

    @property
    def refines(self) -> bool:
        """Whether it refines a coarse network's maps."""
        return self.coarse_stage is not None and "train" in self.stages

    @property
    def about(self) -> str:
        """The overlay's description: its first comment lines."""
        lines = read_text(self.overlay).splitlines()
        first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
        return " ".join(line.removeprefix("#").strip() for line in lines[:first])


def read_overlay(path: Path) -> dict[str, Any]:
    """The keys of an overlay.

    Raises:
        SemclError: when the file holds something else.
    """
    found = read_yaml(path, KEYS)
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise SemclError(
            f"{path} is not an overlay",
            found="nothing: the file is empty" if found is None else short(found),
            expected=KEYS,
            remedy=f"edit {path}" if found is not None else "write {} into one that changes nothing, or leave it out",
        )
    return found


def refuse_own(keys: Iterable[str], where: str, keys_of: StageKeys, budget: bool) -> None:
    """Refuse keys that the study sets itself, and those no stage reads.

    Args:
        keys: of an overlay or a sweep; ``stage.key`` for one stage alone.
        where: they were found.
        keys_of: the bundle's configs.
        budget: whether the study sets the stages' lengths.

    Raises:
        SemclError: naming them.
    """
    bare = {group(keys_of.split(key)[1]) for key in keys}
    taken = sorted(bare & (OWN | LENGTH_KEYS if budget else OWN))
    if taken:
        raise SemclError(
            f"the study sets {', '.join(taken)} itself",
            found=f"{', '.join(taken)} in {where}",
            expected="other keys of the configs",
            remedy="use --seeds, --labels, --folds, --attention_dir or --out"
            + ("; --budget 0 leaves the lengths to the configs" if LENGTH_KEYS & set(taken) else "")
            + ("; coarse_dims follows from the strategy's stages" if "coarse_dims" in taken else ""),
        )
    keys_of.refuse_unknown(keys, where)


def shipped_files(folder: Path) -> dict[str, Path]:
    """The files that ship in a folder of the bundle's configs, by name.

    Raises:
        SemclError: when there are none.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if not found:
        raise SemclError(
            "the bundle is missing",
            found=f"no overlays in {folder}",
            expected="the bundle's folder",
            remedy="set --bundle_root",
        )
    return found


def find_file(name: str, folder: Path, kind: str) -> Path:
    """The path of a strategy or a preset, given by the name of a file that ships or by a path.

    Raises:
        SemclError: when there is neither, naming the nearest.
    """
    shipped = shipped_files(folder)
    path = shipped.get(name, Path(name))
    if not path.is_file():
        near = difflib.get_close_matches(name, shipped, 1)
        raise SemclError(
            f"there is no such {kind}",
            found=f"no {name}.yaml in {folder}, and no file {name}",
            expected=f"one of {', '.join(shipped)}, or the path of your own overlay",
            remedy=f"did you mean {near[0]}?" if near else "see docs/study.md for how to add one",
        )
    return path


def find_strategies(names: Sequence[str], keys_of: StageKeys, budget: bool = True) -> list[Strategy]:
    """Strategies, each by the name of an overlay in the bundle's configs/strategies or by the path of another file.

    Args:
        names: of overlays, or paths.
        keys_of: the bundle's configs.
        budget: whether the study sets the stages' lengths.

    Raises:
        SemclError: for no strategy at all, a missing one, one given twice, or a file that is not a strategy.
    """
    folder = keys_of.folder / STRATEGIES
    if not names:
        known = ", ".join(shipped_files(folder))
        raise SemclError("no strategy is given", found="none", expected=f"one of {known}", remedy="set --strategies")
    found: list[Strategy] = []
    for name in names:
        path = find_file(name, folder, "strategy")
        if path.stem in {strategy.name for strategy in found}:
            raise SemclError(
                "two strategies of the same name",
                found=f"{path.stem} twice",
                expected="different names",
                remedy="give each once, or rename the overlay",
            )
        strategy = Strategy(path.stem, path.resolve())
        check_stages(path, read_overlay(path).get(STAGES))
        refuse_own(strategy.numbers, str(path), keys_of, budget)
        keys_of.refuse_unread(strategy.numbers, strategy.all_stages, str(path))
        found.append(strategy)
    return found
