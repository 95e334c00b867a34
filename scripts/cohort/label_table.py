"""The label table: organs, their numbers in label maps, left-right partners, phases, and the cluster of a query."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..errors import SemclError
from ..files import write_text
from ..names import shown, wrong_cell
from ..plain import read_yaml, short
from .partners import partners_by_name

FILE_NAME = "labels.yaml"
IGNORED = -1  # object number of voxels that count neither for nor against anything
IGNORED_INDEX = 65535  # what stands for it in label maps, where the table does not name another


@dataclass(frozen=True)
class Organ:
    """An organ: its name, its index in the cohort's label maps, its left-right partner if it has one.

    ``tolerance`` is how far (mm) its surface may be off before a reader would mind, for NSD; None for evaluation's own.
    """

    name: str
    index: int
    partner: str | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class LabelTable:
    """Which organs a cohort's label maps hold and in which phases its scans were taken.

    Inside SemCL objects are numbered 1..K in the table's order, 0 is background and -1 ignored; files keep the cohort's
    own indices. Ignored voxels are learnt from in no loss and measured in no figure.

    Args:
        organs: the K organs.
        phases: image-wise labels (contrast phase, modality); a query's cluster is object x phase.
        ignore: index of ignored voxels, 65535 unless given.
        by_name: pairs of partners the table did not state, whose names tell the side.
    """

    organs: tuple[Organ, ...]
    phases: tuple[str, ...]
    ignore: int = IGNORED_INDEX
    by_name: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> LabelTable:
        """Read ``folder``/labels.yaml.

        Raises:
            SemclError: when the file is missing or does not hold a label table.
        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise SemclError(
                "there is no label table",
                found=f"no {path}",
                expected="labels.yaml with organs and phases",
                remedy="make the cohort with `python -m scripts prepare`, see docs/cohort.md",
            )
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> LabelTable:
        """Read a label table file.

        Raises:
            SemclError: when it does not hold a label table.
        """
        content = read_yaml(path, "a mapping `organs` and a list `phases`")
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: Any, source: str = "label table") -> LabelTable:
        """Build the table from the content of labels.yaml; ``source`` names it in errors.

        Organs without partners whose names tell sides are made partners (``partners_by_name``).

        Raises:
            SemclError: for anything that is not a label table.
        """

        def refuse(found: object, expected: str) -> SemclError:
            return SemclError(
                f"{source} is not a label table", found=short(found), expected=expected, remedy=f"edit {source}"
            )

        if not isinstance(content, Mapping) or not isinstance(content.get("organs"), Mapping) or not content["organs"]:
            raise refuse(content, "a mapping `organs` of name -> {index: number}")
        organs = [cls._organ(str(name), given, refuse) for name, given in content["organs"].items()]
        partner = {organ.name: organ.partner for organ in organs}
        for organ in organs:
            if organ.partner is not None and (organ.partner == organ.name or partner.get(organ.partner) != organ.name):
                raise refuse(
                    f"{organ.name}: partner {organ.partner!r}",
                    "another organ of the table that names it as partner too",
                )
        phases = content.get("phases", ["unknown"])
        named = isinstance(phases, list) and all(
            isinstance(one, str | int) and one is not True and one is not False for one in phases
        )
        if not named or not phases:
            raise refuse(f"phases {phases!r}", "a list of different names; no, off, yes, on and null stand in quotes")
        names = tuple(str(phase) for phase in phases)
        ignore = content.get("ignore", IGNORED_INDEX)
        if not isinstance(ignore, int) or isinstance(ignore, bool) or not 0 < ignore <= IGNORED_INDEX:
            raise refuse(f"ignore {ignore!r}", f"a whole number from 1 to {IGNORED_INDEX}")
        columns: dict[str, list[Any]] = {
            "names": [organ.name for organ in organs],
            "indices": [organ.index for organ in organs],
            "phases": list(names),
        }
        for what, values in columns.items():
            if len(set(values)) != len(values):
                raise refuse(f"{what} {values}", "none twice")
        for name in (*columns["names"], *names):
            why = wrong_cell(name)
            if why:
                raise refuse(f"{shown(name)}: {why}", "names that can be printed and begin with none of = + - @")
        taken = [organ.name for organ in organs if organ.index == ignore]
        if taken:
            raise refuse(f"ignore {ignore}, the index of {taken[0]}", "an index no organ has")
        implied = partners_by_name(organ.name for organ in organs if organ.partner is None)
        paired = tuple(replace(organ, partner=organ.partner or implied.get(organ.name)) for organ in organs)
        pairs = list(implied.items())[::2]
        return cls(paired, names, ignore, tuple(pairs))

    @staticmethod
    def _organ(name: str, given: Any, refuse: Callable[[object, str], SemclError]) -> Organ:
        entry = given if isinstance(given, Mapping) else {"index": given}
        strange = set(entry) - {"index", "partner", "tolerance"}
        if strange:
            raise refuse(f"{name}: {sorted(map(str, strange))}", "index, and partner and tolerance where there is one")
        index, partner = entry.get("index"), entry.get("partner")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 < index < IGNORED_INDEX:
            raise refuse(f"{name}: index {index!r}", f"a whole number from 1 to {IGNORED_INDEX - 1}")
        tolerance = entry.get("tolerance")
        number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
        if tolerance is not None and not (number and 0 < tolerance < math.inf):
            raise refuse(f"{name}: tolerance {tolerance!r}", "mm, above 0")
        return Organ(name, index, None if partner is None else str(partner), tolerance and float(tolerance))

    def save(self, folder: str | Path) -> None:
        """Write ``folder``/labels.yaml, unless it says the same already: with its comments it stays."""
        path = Path(folder) / FILE_NAME
        try:
            same = path.is_file() and self.read(path) == self
        except SemclError:  # what is there is no label table
            same = False
        if not same:
            write_text(path, yaml.safe_dump(self.content(), sort_keys=False))

    def content(self) -> dict[str, Any]:
        """The table as plain data, as labels.yaml holds it."""
        organs = {
            organ.name: {key: value for key, value in asdict(organ).items() if key != "name" and value is not None}
            for organ in self.organs
        }
        ignored = {} if self.ignore == IGNORED_INDEX else {"ignore": self.ignore}
        return {"phases": list(self.phases), "organs": organs, **ignored}

    def digest(self) -> str:
        """A short hash by which two tables are told apart; tolerances change no label map and no model."""
        content = self.content()
        for organ in content["organs"].values():
            organ.pop("tolerance", None)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    def organs_digest(self) -> str:
        """A short hash of the organs, their order, indices and partners: what label maps and networks depend on."""
        return replace(self, phases=("any",)).digest()

    def __len__(self) -> int:
        return len(self.organs)

    @property
    def names(self) -> tuple[str, ...]:
        """Organ names in the order of their object numbers 1..K."""
        return tuple(organ.name for organ in self.organs)

    @property
    def flip_axes(self) -> list[int]:
        """Spatial axes (of RAS) a view may mirror: left-right, unless that turned an organ into its partner."""
        return [] if any(organ.partner for organ in self.organs) else [0]

    def encode(self, label: NDArray[Any], case: str, source: object = "the label map") -> NDArray[np.int16]:
        """Object numbers -1..K of a label map of the cohort; ``source`` is where it lies, named in errors.

        Raises:
            SemclError: for values that are not whole numbers or not in the table.
        """
        values = np.unique(label)
        numbered = {organ.index: number for number, organ in enumerate(self.organs, start=1)}
        lookup = {0: 0, self.ignore: IGNORED} | numbered
        strange = [float(value) for value in values if float(value) not in lookup]
        if strange:
            more = " ..." if len(strange) > 10 else ""
            raise SemclError(
                "label values outside the label table",
                case=case,
                found=f"{', '.join(f'{value:g}' for value in strange[:10])}{more} in {source}",
                expected=f"0 or one of {', '.join(str(organ.index) for organ in self.organs)}",
                remedy="add the organ to labels.yaml, or set these voxels to 0 in the label map",
            )
        numbers = np.array([lookup[int(value)] for value in values], np.int16)
        return numbers[np.searchsorted(values, label)]

    def decode(self, objects: NDArray[Any]) -> NDArray[np.uint16]:
        """The cohort's indices of a map of object numbers -1..K."""
        indices = np.array([0, *(organ.index for organ in self.organs), self.ignore], np.uint16)  # -1 is the last
        decoded: NDArray[np.uint16] = indices[objects]
        return decoded

    def phase_number(self, phase: str, case: str) -> int:
        """Position of a phase in the table.

        Raises:
            SemclError: when the table does not name the phase.
        """
        if phase not in self.phases:
            raise SemclError(
                "a phase that is not in the label table",
                case=case,
                found=phase,
                expected=f"one of {', '.join(self.phases)}",
                remedy="add it under `phases` in labels.yaml, or mend the case's phase",
            )
        return self.phases.index(phase)

    def cluster(self, number: int, phase: int) -> int:
        """Cluster label 0..K*P-1 of object ``number`` (1..K) seen in phase ``phase`` (0..P-1)."""
        return (number - 1) * len(self.phases) + phase

    def phase_of(self, cluster: int) -> int:
        """Number of the phase, 0..P-1, of a cluster label."""
        return cluster % len(self.phases)
