"""Training strategies: each is a config overlay over the same stages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import SemclError

FOLDER = "strategies"  # of the bundle's configs
FLOOR = "coarse"  # the map every strategy starts from
NO_PRETRAINING = "encoder_weights"  # an overlay that sets it to null


@dataclass(frozen=True)
class Strategy:
    """A strategy, or one point of a sweep of it.

    Args:
        name: of the overlay, and for a point of a sweep its value too.
        overlay: the config file.
        overrides: of the sweep.
    """

    name: str
    overlay: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """The overlay's keys."""
        found: dict[str, Any] = yaml.safe_load(self.overlay.read_text(encoding="utf-8")) or {}
        return found

    @property
    def pretrains(self) -> bool:
        """Whether an encoder is pretrained."""
        content = self.content
        return NO_PRETRAINING not in content or content[NO_PRETRAINING] is not None

    @property
    def about(self) -> str:
        """What the overlay says of itself in its first lines."""
        lines = self.overlay.read_text(encoding="utf-8").splitlines()
        return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))


def find(names: Sequence[str], bundle_root: Path) -> list[Strategy]:
    """Strategies by the name of an overlay in the bundle's configs/strategies, or by the path of one elsewhere.

    Raises:
        SemclError: for one that is not there, one given twice, or a file that is no overlay.
    """
    folder = bundle_root / "configs" / FOLDER
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    found: list[Strategy] = []
    for name in names:
        path = shipped.get(name, Path(name))
        if not path.is_file():
            near = difflib.get_close_matches(name, shipped, 1)
            raise SemclError(
                "there is no such strategy",
                found=f"no {name}.yaml in {folder}, and no file {name}",
                expected=f"one of {', '.join(shipped)}, or the path of an overlay of yours",
                remedy=f"did you mean {near[0]}?" if near else "see docs/study.md for how to add one",
            )
        if path.stem == FLOOR or path.stem in {one.name for one in found}:
            raise SemclError(
                "two strategies of the same name",
                found=f"{path.stem} twice" if path.stem != FLOOR else f"{path}: {FLOOR} is the map all start from",
                expected="names of their own",
                remedy="give each once, or rename the overlay",
            )
        strategy = Strategy(path.stem, path.resolve())
        if not isinstance(strategy.content, dict):
            raise SemclError(
                "a strategy's file is no overlay", found=f"{path}", expected="keys of a config", remedy=f"edit {path}"
            )
        found.append(strategy)
    return found


def swept(strategies: Sequence[Strategy], sweep: str) -> list[Strategy]:
    """Each strategy once a value of ``sweep``, "key=value,value,...".

    Raises:
        SemclError: when the sweep is not of this form.
    """
    key, _, listed = sweep.partition("=")
    values = [yaml.safe_load(value) for value in listed.split(",") if value.strip()]
    if not key.strip() or not values:
        raise SemclError(
            "a sweep cannot be understood",
            found=repr(sweep),
            expected="key=value,value,... with a key of the configs",
            remedy="for example --sweep temperature=0.05,0.1,0.2",
        )
    return [
        Strategy(f"{strategy.name} {key}={value}", strategy.overlay, {key.strip(): value})
        for strategy in strategies
        for value in values
    ]
