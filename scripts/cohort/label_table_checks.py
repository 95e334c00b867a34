"""Checks of the content of labels.yaml."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import SemclError
from ..names import shown, wrong_cell
from ..plain import short
from .case import UNKNOWN_PHASE

IGNORED_INDEX = 65535  # index of ignored voxels in label maps, unless the table names another
TABLE_KEYS = ("organs", "phases", "ignore", "others")
BACKGROUND_TOO, IGNORED_TOO = "background", "ignore"  # what labels of no organ of the table may become
RESERVED = ("background", "all organs")
ORGAN_KEYS = ("index", "partner", "tolerance")
Entry = dict[str, Any]


class Checks:
    """Checks of a table's content, whose errors name ``source``.

    Each returns what it checked in the form that ``LabelTable`` takes, and raises SemclError when it is wrong.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def refused(self, found: object, expected: str, remedy: str | None = None) -> SemclError:
        """The error for a part of the table."""
        return SemclError(
            f"{self.source} is not a label table",
            found=short(found),
            expected=expected,
            remedy=remedy or f"edit {self.source}",
        )

    def content(self, content: Any) -> tuple[list[Entry], tuple[str, ...], int, str | None]:
        """The organs' fields, the phases, the index of ignored voxels, and what labels of no organ become."""
        if not isinstance(content, Mapping) or not isinstance(content.get("organs"), Mapping) or not content["organs"]:
            raise self.refused(content, "a mapping `organs` of name -> {index: number}")
        self._known_keys("", content, TABLE_KEYS)
        organs = [self.organ(str(name), given) for name, given in content["organs"].items()]
        self.partners({organ["name"]: organ["partner"] for organ in organs})
        phases = self.phases(content.get("phases", [UNKNOWN_PHASE]))
        ignore = self.index("ignore", content.get("ignore", IGNORED_INDEX), IGNORED_INDEX)
        names, indices = [organ["name"] for organ in organs], [organ["index"] for organ in organs]
        for what, values in (("names", names), ("indices", indices), ("phases", list(phases))):
            if len(set(values)) != len(values):
                raise self.refused(f"{what} {values}", "no duplicates")
        for name in names:
            if name.lower() in RESERVED:
                raise self.refused(
                    f"an organ called {name}", f"other names than {' and '.join(RESERVED)}, which tables use"
                )
        for name in (*names, *phases):
            why = wrong_cell(name)
            if why:
                raise self.refused(f"{shown(name)}: {why}", "names that can be printed and begin with none of = + - @")
        if ignore in indices:
            raise self.refused(f"ignore {ignore}, the index of {names[indices.index(ignore)]}", "an index no organ has")
        others = content.get("others")
        if others not in (None, BACKGROUND_TOO, IGNORED_TOO):
            raise self.refused(f"others {others!r}", f"{BACKGROUND_TOO} or {IGNORED_TOO}, or no such key")
        return organs, phases, ignore, others

    def organ(self, name: str, given: Any) -> Entry:
        """Name, index, partner and tolerance of an organ, given as a mapping or by its index alone."""
        entry = given if isinstance(given, Mapping) else {"index": given}
        self._known_keys(f"{name}: ", entry, ORGAN_KEYS)
        partner, tolerance = entry.get("partner"), entry.get("tolerance")
        number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
        if tolerance is not None and not (number and 0 < tolerance < math.inf):
            raise self.refused(f"{name}: tolerance {tolerance!r}", "mm, above 0")
        return {
            "name": name,
            "index": self.index(f"{name}: index", entry.get("index"), IGNORED_INDEX - 1),
            "partner": None if partner is None else str(partner),
            "tolerance": tolerance and float(tolerance),
        }

    def index(self, what: str, given: Any, last: int) -> int:
        """An index of label maps, from 1 to ``last``."""
        if not isinstance(given, int) or isinstance(given, bool) or not 0 < given <= last:
            raise self.refused(f"{what} {given!r}", f"a whole number from 1 to {last}")
        return given

    def partners(self, partner: Mapping[str, str | None]) -> None:
        """Organ -> partner: partners name each other."""
        for name, other in partner.items():
            if other is not None and (other == name or partner.get(other) != name):
                raise self.refused(
                    f"{name}: partner {other!r}", "another organ of the table that names it as partner too"
                )

    def phases(self, given: Any) -> tuple[str, ...]:
        """The phases; YAML reads unquoted words such as no and on as true or false."""
        named = isinstance(given, list) and all(
            isinstance(phase, str | int) and not isinstance(phase, bool) for phase in given
        )
        if not named or not given:
            raise self.refused(
                f"phases {given!r}", "a list of different names; no, off, yes, on and null must be quoted"
            )
        return tuple(str(phase) for phase in given)

    def _known_keys(self, where: str, given: Iterable[Any], known: Sequence[str]) -> None:
        for key in map(str, given):
            if key not in known:
                nearest = difflib.get_close_matches(key, known, 1)
                remedy = f"did you mean {nearest[0]}? Edit {self.source}" if nearest else None
                raise self.refused(f"{where}key {key!r}", f"one of {', '.join(known)}", remedy)
