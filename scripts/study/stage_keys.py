"""Which keys of the configs a stage reads, so that two strategies share the stages that are the same for both."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
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

    @property
    def stages(self) -> set[str]:
        """The names of all stages, and of their variants."""
        return set(self.contents) - {"common"}

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
        text = self._texts[self.base(stage)] + self._texts[stage]
        return set(self.contents[stage]) | self._followed(OF_SHARED.findall(text))

    def _followed(self, keys: Iterable[str]) -> set[str]:
        """Those of ``keys`` that common.yaml has, and the keys there that they refer to."""
        common = self.contents["common"]
        found: set[str] = set()
        waiting = set(keys) & set(common)
        while waiting:
            key = waiting.pop()
            found.add(key)
            waiting |= set(KEY_REFERENCE.findall(json.dumps(common[key]))) & set(common) - found
        return found

    def read_of(self, stage: str, numbers: Mapping[str, Any]) -> list[str]:
        """The keys of ``numbers`` that a stage reads, its own last: also those that values of others refer to."""
        order = [None, self.base(stage), stage]
        meant = {key: self.split(key) for key in numbers if self.split(key)[0] in order}
        read = self.read_by(stage)
        found: list[str] = []
        while True:
            known, found = found, [key for key, (_, bare) in meant.items() if group(bare) in read]
            if len(found) == len(known):
                return sorted(found, key=lambda key: order.index(meant[key][0]))
            values = json.dumps([numbers[key] for key in found], default=str)
            read = read | self._followed(KEY_REFERENCE.findall(values) + OF_SHARED.findall(values))

    def part(self, stage: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``numbers`` that a stage reads, by bare keys; ``stage.key`` is for one stage and its variants."""
        return {self.split(key)[1]: numbers[key] for key in self.read_of(stage, numbers)}

    def of_stages(self, numbers: Mapping[str, Any], stages: Sequence[str], where: str) -> dict[str, Any]:
        """``numbers`` for some stages alone, as ``stage.key`` of those that read them.

        Raises:
            SemclError: for a key that none of them reads, naming it and ``where`` it is.
        """
        self.refuse_unread(numbers, stages, where)
        return {
            f"{stage}.{self.split(key)[1]}": numbers[key] for stage in stages for key in self.read_of(stage, numbers)
        }

    def refuse_unread(self, numbers: Mapping[str, Any], stages: Sequence[str], where: str) -> None:
        """Refuse keys that none of some stages reads.

        Raises:
            SemclError: naming the first, and the nearest that one of them does read.
        """
        read = {key for stage in stages for key in self.read_of(stage, numbers)}
        unread = next((key for key in numbers if key not in read), None)
        if unread is not None:
            known = {key for stage in stages for key in self.read_by(stage)}
            near = difflib.get_close_matches(group(self.split(unread)[1]), known, 1)
            raise SemclError(
                f"none of the stages {', '.join(stages)} reads {unread}",
                found=f"{unread} in {where}",
                expected="keys of these stages, or of common.yaml that they refer to",
                remedy=f"did you mean {near[0]}?" if near else f"leave {unread} out",
            )

    def split(self, key: str) -> tuple[str | None, str]:
        """The stage of ``stage.key`` and the bare key; None for a key without a stage."""
        stage, dot, bare = key.partition(".")
        return (stage, bare) if dot and stage in self.stages else (None, key)

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
