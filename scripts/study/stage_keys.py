"""Which keys of the configs a stage reads, so that two strategies share the stages that are the same for both."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from ..errors import SemclError
from ..job.overlays import STAGES

OF_SHARED = re.compile(r"shared\.(\w+)")
KEY_REFERENCE = re.compile(r"@(\w+)")


class StageKeys:
    """The keys of a bundle's configs.

    An overlay that is for one stage alone (``stages: [segment]``) makes a variant of that stage, named as the overlay.

    Args:
        bundle_root: the bundle's folder.
    """

    def __init__(self, bundle_root: Path) -> None:
        self.folder = bundle_root / "configs"

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {path.stem: path.read_text("utf-8") for path in sorted(self.folder.glob("*.yaml"))}

    @cache  # noqa: B019  # there are few of them
    def _content(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self._texts[name])
        return content

    @cached_property
    def contents(self) -> dict[str, dict[str, Any]]:
        """The content of every config that is a stage, of variants of stages, and of common.yaml."""
        found = {name: {**self._content(self.base(name)), **self._content(name)} for name in self._texts}
        return {name: content for name, content in found.items() if "run" in content or name == "common"}

    def base(self, stage: str) -> str:
        """The stage that a variant is of; any other stage itself."""
        stages = self._content(stage).get(STAGES)
        return stages[0] if isinstance(stages, list) and len(stages) == 1 else stage

    def files(self, stage: str) -> tuple[str, ...]:
        """The config files of a stage: its own, or of a variant the stage's and the overlay."""
        return tuple(str(self.folder / f"{name}.yaml") for name in dict.fromkeys((self.base(stage), stage)))

    @cached_property
    def known(self) -> set[str]:
        """The keys of all stages and of common.yaml."""
        return {key for content in self.contents.values() for key in content}

    def read_by(self, stage: str) -> set[str]:
        """The keys a stage reads: its own, and those of common.yaml that it refers to, directly or through others."""
        common = self.contents["common"]
        text = self._texts[self.base(stage)] + self._texts[stage]
        found, waiting = set(self.contents[stage]), set(OF_SHARED.findall(text)) & set(common)
        while waiting:
            key = waiting.pop()
            found.add(key)
            waiting |= set(KEY_REFERENCE.findall(json.dumps(common[key]))) & set(common) - found
        return found

    def part(self, stage: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``numbers`` that a stage reads, by bare keys; ``stage.key`` is for one stage and its variants."""
        read = self.read_by(stage)
        given = {key: (self.split(key), value) for key, value in numbers.items()}
        order = [None, self.base(stage), stage]  # its own come last
        mine = [(of, key, value) for (of, key), value in given.values() if of in order and group(key) in read]
        return {key: value for of, key, value in sorted(mine, key=lambda one: order.index(one[0]))}

    def of_stages(self, numbers: Mapping[str, Any], stages: Iterable[str]) -> dict[str, Any]:
        """``numbers`` for some stages alone, as ``stage.key`` of those that read them."""
        return {
            f"{stage}.{key}": value
            for stage in stages
            for key, value in numbers.items()
            if group(key) in self.read_by(stage)
        }

    def split(self, key: str) -> tuple[str | None, str]:
        """The stage of ``stage.key`` and the bare key; None for a key without a stage."""
        stage, dot, bare = key.partition(".")
        return (stage, bare) if dot and stage in self.contents and stage != "common" else (None, key)

    def refuse_unknown(self, numbers: Iterable[str], where: str) -> None:
        """Refuse keys that no stage reads, or that the stage they are meant for does not.

        Raises:
            SemclError: naming the first, and the nearest known one.
        """
        for key in numbers:
            stage, bare = self.split(key)
            known = self.known if stage is None else self.read_by(stage)
            if group(bare) not in known:
                near = difflib.get_close_matches(group(bare), known, 1)
                raise SemclError(
                    f"{stage or 'no stage'} {'does not read' if stage else 'reads'} {group(bare)}",
                    found=f"{key} in {where}",
                    expected="keys of the stages' configs or of common.yaml",
                    remedy=f"did you mean {near[0]}?" if near else "see docs/configs.md",
                )

    def unvalidated(self, stage: str) -> dict[str, Any]:
        """What keeps a stage from holding patients out: a study pays for training alone, on all label maps it has.

        No stage validates while it trains, and the refiner is calibrated on training queries.
        """
        return {key: 0 for key in ("val_interval", "calibration_share") if key in self.contents[stage]}

    def version(self, stage: str) -> str:
        """A hash of the values in a stage's config and common.yaml, which comments do not change."""
        return short_hash([self.contents[stage], self.contents["common"]])


def over(numbers: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """``numbers`` with others over them: a key for all stages replaces the same key for one (``stage.key``) too."""
    return {key: value for key, value in numbers.items() if key.partition(".")[2] not in more} | dict(more)


def group(key: str) -> str:
    """The first part of a key of a config: ``train`` of ``train#views#area``."""
    return key.replace("::", "#").partition("#")[0].lstrip("+")


def short_hash(content: Any) -> str:
    """A short hash of plain data."""
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()[:10]
