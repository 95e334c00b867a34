"""The design of a study: what is compared with what, on how many labels, with which budgets and how often."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import SemclError
from ..job.overlays import STAGES, refuse_wrong_stages
from .contrasts import Contrast
from .labels import Amount, parse_labels
from .plan import Cell
from .stage_keys import StageKeys, over
from .strategy import FLOOR, find_file, read_overlay

STUDIES = "studies"  # of the bundle's configs
DEFAULT = "small"
MAY_BE_EMPTY: dict[str, Any] = {"contrasts": [], "overlays": [], "numbers": {}}  # keys of a preset without a value


@dataclass(frozen=True)
class Design:
    """A study's own numbers, from a preset and the command line.

    Args:
        strategies: names of overlays in configs/strategies, or paths of others.
        labels: numbers or shares of the labelled patients whose label maps a run may use.
        seeds: runs of each strategy.
        budget: training seconds of a device for all that a run does; 0: the configs' own lengths hold.
        budgets: multiples of it, each a table.
        folds: parts of the labelled patients, each tested once; 0 for the cohort's own testing cases.
        contrasts: "first - second" or "first - second, third": the best of several; those decide.
        equivalence: the largest difference in Dice that means nothing in practice.
        baseline: the strategy all are compared with for exploration, or "coarse map".
        overlays: names of configs, or paths, whose keys hold for all stages.
        numbers: keys of the configs for all stages; ``stage.key`` for one stage alone.
        embeddings: whether pretrained encoders are examined too.
    """

    strategies: Sequence[str]
    labels: Sequence[str | float]
    seeds: int
    budget: float
    budgets: Sequence[float]
    folds: int
    contrasts: Sequence[str]
    equivalence: float
    baseline: str
    overlays: Sequence[str] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    embeddings: bool = True

    @property
    def amounts(self) -> tuple[Amount, ...]:
        """The amounts of labels."""
        return parse_labels(self.labels)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every amount of labels with every budget."""
        budgets = [float(self.budget * factor) for factor in self.budgets] if self.budget else [None]
        if not self.budget and list(self.budgets) != [1]:
            raise SemclError(
                "there are multiples of no budget",
                found=f"budget 0, times {', '.join(map(str, self.budgets)) or 'nothing'}",
                expected="one table of the configs' own lengths",
                remedy="set --budgets 1, or a --budget in seconds",
            )
        if not budgets or len(set(budgets)) < len(budgets) or any(one is not None and one <= 0 for one in budgets):
            raise SemclError(
                "budgets must be given, each only once",
                found=f"budget {self.budget:g}, times {', '.join(map(str, self.budgets)) or 'nothing'}",
                expected="multiples above 0, without repeats",
                remedy="set --budget, the seconds, and --budgets, multiples such as 0.5,1,2",
            )
        return tuple(Cell(labels, budget) for labels in self.amounts for budget in budgets)

    def all_numbers(self, configs: Path) -> dict[str, Any]:
        """The keys of stages: of the overlays in order, then the design's own; ``stage.key`` is for one alone."""
        return over(laid_over({}, self.overlays, configs), self.numbers)


def read_design(preset: str | None, configs: Path, given: Mapping[str, Any]) -> Design:
    """The design that a preset and the command line make; what is given there replaces the preset's.

    Args:
        preset: name of a file in configs/studies, or the path of another; None for the default.
        configs: the bundle's configs.
        given: fields of the design; None where the preset's holds. The keys of overlays are laid over its numbers.

    Raises:
        SemclError: for an unknown preset, or one that lacks a field or has another.
    """
    path = find_file(preset or DEFAULT, configs / STUDIES, "preset")
    content = read_overlay(path)
    known = {one.name: one for one in fields(Design)}
    wrong = sorted(set(content) - set(known)) + sorted(
        key for key in list(known)[: list(known).index("overlays")] if key not in content
    )
    if wrong:
        raise SemclError(
            f"{path} is not the design of a study",
            found=f"{wrong[0]} {'unknown' if wrong[0] in content else 'missing'}",
            expected=f"the keys {', '.join(known)}",
            remedy=f"compare it with {configs / STUDIES / DEFAULT}.yaml",
        )
    values: dict[str, Any] = {key: MAY_BE_EMPTY.get(key) if value is None else value for key, value in content.items()}
    design = Design(**values)
    _refuse_wrong(design, path)
    numbers = laid_over(design.numbers, given.get("overlays") or [], configs)
    own = {key: value for key, value in given.items() if value is not None and key != "overlays"}
    return replace(design, numbers=numbers, **own)


def laid_over(numbers: Mapping[str, Any], overlays: Sequence[str], configs: Path) -> dict[str, Any]:
    """``numbers`` with the keys of overlays over them, in order; of one for some stages, as ``stage.key`` of those.

    Raises:
        SemclError: for an overlay that is missing or is none, or has keys that the stages it is for do not read.
    """
    found, keys_of = dict(numbers), StageKeys(configs.parent)
    for overlay in overlays:
        path = find_overlay(overlay, configs)
        more = read_overlay(path)
        stages = more.pop(STAGES, None)
        found = over(found, keys_of.of_stages(more, stages, str(path)) if isinstance(stages, list) else more)
    return found


def _refuse_wrong(design: Design, path: Path) -> None:
    """Refuse a preset with a value of another type or range.

    Raises:
        SemclError: naming the key.
    """
    forms: dict[str, tuple[str, Callable[[Any], bool]]] = {
        **dict.fromkeys(("strategies", "contrasts", "overlays"), ("a list of texts", _is_list(str))),
        "labels": ("a list of numbers of patients or shares such as 10%", _is_list((str, int))),
        "seeds": ("a whole number, 1 or more", _is_number(1, whole=True)),
        "folds": ("a whole number, 0 or more", _is_number(0, whole=True)),
        "budget": ("seconds, 0 or more", _is_number(0)),
        "budgets": ("a list of numbers", _is_list((int, float))),
        "equivalence": ("a number from 0 to 1", lambda value: _is_number(0)(value) and value <= 1),
        "baseline": ("a text", lambda value: isinstance(value, str)),
        "numbers": ("keys with their values", lambda value: isinstance(value, Mapping)),
        "embeddings": ("true or false", lambda value: isinstance(value, bool)),
    }
    for key, (expected, fits) in forms.items():
        value = getattr(design, key)
        if not fits(value):
            raise SemclError(
                f"{key} of a study is wrong", found=f"{value!r} in {path}", expected=expected, remedy=f"edit {path}"
            )


def _is_list(of: type | tuple[type, ...]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list | tuple) and all(isinstance(one, of) and not isinstance(one, bool) for one in value)
    )


def _is_number(least: float, whole: bool = False) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return least <= value < math.inf and (isinstance(value, int) or not whole)

    return fits


def parse_contrasts(
    texts: Sequence[str], names: Sequence[str], shipped: Sequence[str] = (), floor: bool = True
) -> list[Contrast]:
    """The contrasts of a design, those of strategies that are run; against the best of several, of those that are run.

    Args:
        texts: "first - second", or "first - second, third" for the best of several.
        names: of the strategies that are run.
        shipped: names of others that there are.
        floor: whether strategies refine maps, which can be compared with.

    Raises:
        SemclError: for a text of another form, or a strategy that there is not.
    """
    found = []
    known = (*names, *shipped, FLOOR)
    measured = {*names, *([FLOOR] if floor else [])}
    for text in texts:
        first, dash, others = (part.strip() for part in str(text).partition(" - "))
        second = [other.strip() for other in others.split(",") if other.strip()]
        if not first or not dash or not second or first in second:
            raise SemclError(
                "a contrast cannot be understood",
                found=repr(text),
                expected="first - second, or first - second, third for the best of several",
                remedy="for example: semantic - scratch",
            )
        unknown = next((name for name in (first, *second) if name not in known), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, known, 1)
            raise SemclError(
                "a contrast names a strategy that there is not",
                found=f"{unknown} in {text!r}",
                expected=f"strategies of this study, those that ship, or {FLOOR}",
                remedy=f"did you mean {near[0]}?" if near else "edit the preset's contrasts, or add it to --strategies",
            )
        present = tuple(other for other in second if other in measured)
        if first in measured and present:
            found.append(Contrast(first, present))
    return list(dict.fromkeys(found))


def find_overlay(name: str, configs: Path) -> Path:
    """The path of an overlay of stages, given by the name of one that ships or by a path.

    Raises:
        SemclError: when it is missing, is the config of a stage, or is for stages that there are not.
    """
    shipped = configs / f"{name}.yaml"
    path = shipped if shipped.is_file() else Path(name)
    remedy = "set --overlay to a file of your own numbers, or to standard or faithful"
    if not path.is_file():
        raise SemclError("there is no such overlay", found=f"no {path}", expected="a config file", remedy=remedy)
    content = read_overlay(path)
    if "run" in content:
        raise SemclError(
            f"{path} is the config of a stage",
            found="a key run",
            expected="an overlay: values that replace those of the stages",
            remedy=remedy,
        )
    refuse_wrong_stages(content, StageKeys(configs.parent).stages, str(path))
    return path
