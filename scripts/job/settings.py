"""The settings that weights were made with: noted beside them, and taken over by the stages that read the weights.

A setting is a number of common.yaml that the weights depend on, or a component that an overlay put in place of the one
of common.yaml. Numbers are taken over; a component is only compared, since a note must not decide which code runs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from .. import ranks
from ..cohort.datalist import stated_modality
from ..errors import SemclError, one_of
from ..plain import short
from ..sidefiles import damaged, read_note
from . import overlays
from .manifest import versions

SECTION = "common"  # of the running config: where common.yaml is put
SETTINGS, PARTS = "settings", "parts"  # of a note
NOTED, GIVEN = "noted", "given"  # what ``settings`` of common.yaml may be
TRAINING_ONLY = {"freeze_encoder", "tool"}  # how, and beside which maps, a network is trained, not what it is
WITHOUT = "-"  # before the name of a part that others refer to and do not depend on
REFERENCES = re.compile(r"@(?:shared\.|common#)?(\w+)")
EXPECTED, COPY_BOTH = "the note a stage writes beside its weights", "make the weights again, or copy both files again"


class Settings:
    """The settings of a config that is being run.

    Args:
        parser: of the config, which holds common.yaml under "common".
        given: keys of common.yaml that the command line, an overlay or the stage gives.
    """

    def __init__(self, parser: ConfigParser, given: Iterable[str]) -> None:
        config: Any = parser.config
        self.parser, self.config, self.common, self.given = parser, config, config[SECTION], set(given)

    def of(self, parts: Sequence[str]) -> dict[str, Any]:
        """The settings that parts of the config depend on, directly or through others, but for those named -<part>."""
        left_out = {part.removeprefix(WITHOUT) for part in parts if part.startswith(WITHOUT)}
        reached = self._reached((part for part in parts if not part.startswith(WITHOUT)), left_out)
        return {key: self.value(key) for key in sorted(reached) if self._is_setting(key)}

    def take_over(self, weights: Sequence[str] = (), perhaps: Sequence[str] = ()) -> None:
        """Use the numbers that weights were made with wherever the config is given none.

        Args:
            weights: files that the stage reads; the first that notes a number decides.
            perhaps: files that it may not need; ``contradiction`` is for when it does.

        Raises:
            SemclError: when a file was made with other settings than are given, or does not note its settings; and for
                a cohort of MR whose window is neither given nor noted.
        """
        one_of("settings", mode := self.value("settings"), (NOTED, GIVEN))
        used, taken = self._used(), dict[str, Any]()
        for path in map(Path, [*weights, *perhaps]):
            changed = list[str]()
            for key, value in (noted_settings(path) or {}).items():
                free = key in used and key not in self.given and key not in taken
                if free and self._is_number(key) and value is not None:
                    taken[key] = value
                    if value != self.value(key):
                        self._put(key, value)
                        changed.append(f"{key} {short(json.dumps(value))}")
            if changed:
                _say(f"as {path.with_suffix('.json')} notes: {', '.join(changed)}")
        for error in filter(None, map(self.contradiction, map(Path, weights))):
            if mode != GIVEN:
                raise error
            _say(f"warning: {error.problem}: {error.found}; {error.expected}", sys.stderr)

        if "window" in used - self.given - taken.keys():
            self._refuse_mr()

    def _refuse_mr(self) -> None:
        """Refuse the window of common.yaml, which is that of CT, for a cohort that was prepared as MR."""
        folder = self.parser.get_parsed_content("dataset_dir") if "dataset_dir" in self.config else None
        if folder is not None and stated_modality(str(folder)) == "MR":
            raise SemclError(
                "the scans are MR, and would be cut off as CT is",
                found=f"no window but that of common.yaml, {self.value('window')}; modality MR in {folder}",
                expected="a window for these scans",
                remedy="write `window: percentile` into the overlay, or give --window percentile, or two numbers",
            )

    def contradiction(self, weights: Path) -> SemclError | None:
        """The error of weights that were made with other settings than this config's; None where they agree."""
        if not weights.is_file():
            return None
        note, noted = weights.with_suffix(".json"), noted_settings(weights)
        if noted is None:
            return SemclError(
                f"{weights.name} does not say which settings it was made with",
                found=f"no settings in {note}" if note.is_file() else f"no {note}",
                expected="the window, grid and network of its training, as this version notes them beside weights",
                remedy="copy both files together; for weights of another version or tool, give the numbers they were "
                f"trained with (docs/runs.md) and add --settings {GIVEN}",
            )
        used = self._used()
        own = self.of(read_note(note, EXPECTED, COPY_BOTH).get(PARTS, ()))
        differ = [key for key in sorted({*noted, *own}) if key in used and noted.get(key) != own.get(key)]
        differ = [key for key in differ if not self._is_number(key)] or [key for key in differ if key in noted]
        if not differ:
            return None
        listed = ["\n            ".join(f"{key} {_shown(one, key)}" for key in differ) for one in (own, noted)]
        numbers = [key for key in differ if self._is_number(key)]
        way = f"leave out --{numbers[0]}: what is noted is used" if numbers else "give the overlay of the training"
        return SemclError(
            f"{weights.name} was made with other settings",
            found=listed[0],
            expected=f"{listed[1]}\n            as {note} notes",
            remedy=f"{way}; or add --settings {GIVEN} to use what is given all the same",
        )

    def _used(self) -> set[str]:
        """The keys that the stage refers to, directly or through others."""
        return self._reached(key for key in self.config if key not in self.common and key != SECTION)

    def _reached(self, starts: Iterable[str], left_out: AbstractSet[str] = frozenset()) -> set[str]:
        found, waiting = set[str](), list(starts)
        while waiting:
            key = waiting.pop()
            if key not in found | TRAINING_ONLY | left_out:
                found.add(key)
                if key not in self.common or not overlays.is_expression(self.common[key]):
                    waiting += REFERENCES.findall(json.dumps(self._written(key), default=str))
        return found

    def _written(self, key: str) -> Any:
        """What stands in the config; for a key that only passes on what stages share, what common.yaml says."""
        written = self.config.get(key)
        passed_on = written in (f"@{SECTION}#{key}", f"$@shared.{key}")
        return self.common.get(key) if passed_on or written is None else written

    def _is_number(self, key: str) -> bool:
        shipped = self.common.get(key)
        return key in self.common and not overlays.is_expression(shipped) and not isinstance(shipped, Mapping)

    def _is_setting(self, key: str) -> bool:
        """Whether a key is a number, or a component that is not the one of common.yaml."""
        component = isinstance(self._written(key), Mapping) or isinstance(self.common.get(key), Mapping)
        return self._is_number(key) or (component and self._written(key) != self.common.get(key))

    def value(self, key: str) -> Any:
        """A key's value, as it can be noted."""
        found = self.parser.get_parsed_content(key) if self._is_number(key) else self._written(key)
        return json.loads(json.dumps(found, default=str))

    def _put(self, key: str, value: Any) -> None:
        """Put a number into the config, as if it had been given."""
        part = ConfigParser({key: value})
        part.parse()
        self.config[key] = value
        for name, item in part.ref_resolver.items.items():
            if name:
                self.parser.ref_resolver.items[name] = item
                self.parser.ref_resolver.remove_resolved_content(name)


def noted_settings(weights: Path) -> dict[str, Any] | None:
    """The settings that weights were made with; None where none are noted.

    Raises:
        SemclError: when the note cannot be read, or holds expressions, which are never evaluated.
    """
    path = weights.with_suffix(".json")
    if not (weights.is_file() and path.is_file()):
        return None
    note = read_note(path, EXPECTED, COPY_BOTH)
    found, parts = note.get(SETTINGS), note.get(PARTS)
    if found is None:
        return None
    texts = isinstance(parts, list) and all(isinstance(part, str) for part in parts)
    if not isinstance(found, dict) or not texts:
        raise damaged(path, "settings or parts of another kind", EXPECTED, COPY_BOTH)
    for key, value in found.items():
        if not isinstance(value, Mapping) and re.search(r'"[$@%]', json.dumps(value)):
            raise damaged(path, f"{key} is an expression", EXPECTED, COPY_BOTH)
    return found


def made_with(settings: Settings, *parts: str) -> dict[str, Any]:
    """What is noted beside weights: the settings of parts of the running config, the precision, and versions."""
    precision = settings.value("precision")
    if precision == "float16" and not torch.cuda.is_available():
        precision = "float32"  # as in networks.precision
    return {PARTS: list(parts), SETTINGS: settings.of(parts), "precision": precision, "versions": versions()}


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return short(json.dumps(settings[key])) if key in settings else "as common.yaml has it"


def _say(text: str, stream: Any = None) -> None:
    if ranks.number() == 0:
        print(text, file=stream or sys.stdout)
