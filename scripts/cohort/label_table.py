"""The label table: organs, their indices in label maps, left-right partners, phases, and the clusters of queries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..errors import SemclError
from ..files import write_text
from ..plain import read_yaml
from .label_table_checks import BACKGROUND_TOO, IGNORED_INDEX, IGNORED_TOO, Checks
from .partners import partners_by_name

LABELS_FILE = "labels.yaml"
CHUNK = 1 << 16  # voxels looked up at once, to stay in the cache
STRANGE = -2  # no object's number
LAST_LOOKED_UP = 1 << 62  # label that can be looked up
IGNORED = -1  # object number of voxels left out of losses and metrics


@dataclass(frozen=True)
class Organ:
    """An organ: its name, its index in the cohort's label maps, and its left-right partner if it has one.

    ``tolerance`` is the acceptable error (mm) of the organ's surface, for NSD; None for evaluation's default.
    """

    name: str
    index: int
    partner: str | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class LabelTable:
    """Which organs a cohort's label maps hold and in which phases its scans were taken.

    Inside SemCL objects are numbered 1..K in the table's order, 0 is background and -1 ignored; files keep the cohort's
    own indices. Ignored voxels enter no loss and no metric.

    Args:
        organs: the K organs.
        phases: image-wise labels (contrast phase, modality); a query's cluster is object x phase.
        ignore: index of ignored voxels, 65535 unless given.
        others: what labels become that are no organ's of the table: "background", "ignore"; None: they are errors.
        by_name: pairs of partners that were inferred from the organs' names.
    """

    organs: tuple[Organ, ...]
    phases: tuple[str, ...]
    ignore: int = IGNORED_INDEX
    others: str | None = None
    by_name: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> LabelTable:
        """Read ``folder``/labels.yaml; errors of ``read``."""
        return cls.read(Path(folder) / LABELS_FILE)

    @classmethod
    def read(cls, path: Path) -> LabelTable:
        """Read a label table file.

        Raises:
            SemclError: when it is missing or does not hold a label table.
        """
        if not path.parent.is_dir():
            raise SemclError(
                "there is no label table",
                found=f"no folder {path.parent}",
                expected=f"a cohort, or a folder of models, which holds {path.name}",
                remedy="correct the path, or run the stages before this one first: train writes models/ of the cohort",
            )
        if not path.is_file():
            raise SemclError(
                "there is no label table",
                found=f"no {path}",
                expected="a YAML file with organs and phases",
                remedy="`python -m scripts labels --from LABELS` drafts one; `python -m scripts prepare` makes cohorts:"
                " docs/cohort.md",
            )
        content = read_yaml(path, "a mapping `organs` and a list `phases`")
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: Any, source: str = "label table") -> LabelTable:
        """Build the table from the content of labels.yaml; ``source`` names it in errors.

        Partners that the table does not state are inferred from the organs' names (``partners_by_name``).

        Raises:
            SemclError: for anything that is not a label table, unknown keys too.
        """

        organs, phases, ignore, others = Checks(source).content(content)
        inferred = partners_by_name(organ["name"] for organ in organs if organ["partner"] is None)
        for organ in organs:
            organ["partner"] = organ["partner"] or inferred.get(organ["name"])
        by_name = tuple(list(inferred.items())[::2])
        return cls(tuple(Organ(**organ) for organ in organs), phases, ignore, others, by_name)

    def save(self, folder: str | Path) -> None:
        """Write ``folder``/labels.yaml, unless it holds the same table: its comments are then kept."""
        path = Path(folder) / LABELS_FILE
        try:
            same = path.is_file() and self.read(path) == self
        except SemclError:  # it holds something else
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
        others = {} if self.others is None else {"others": self.others}
        return {"phases": list(self.phases), "organs": organs, **ignored, **others}

    def digest(self) -> str:
        """A short hash of the table without tolerances, which change no label map and no model."""
        content = self.content()
        for organ in content["organs"].values():
            organ.pop("tolerance", None)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    def organs_digest(self) -> str:
        """A short hash of the organs, their order, indices and partners: what label maps and networks depend on."""
        return replace(self, phases=("any",)).digest()

    def require_same_numbers(self, folder: str | Path) -> None:
        """Refuse to write label maps by this table into a cohort whose own has other organs under the same numbers.

        Raises:
            SemclError: naming the first such organ, or one that has another number there.
        """
        path = Path(folder) / LABELS_FILE
        there = LabelTable.read(path).organs if path.is_file() else ()
        for organ in self.organs:
            for other in there:
                if (organ.name == other.name) != (organ.index == other.index):
                    raise SemclError(
                        "the networks number organs in another way than the cohort does",
                        found=f"{organ.name} {organ.index}, and in {path} {other.name} {other.index}",
                        expected="the same number for the same organ",
                        remedy="put back the labels.yaml that the networks were trained with, train them again, or"
                        " give the folder of the scans as --dataset_dir",
                    )

    def __len__(self) -> int:
        return len(self.organs)

    @property
    def names(self) -> tuple[str, ...]:
        """Organ names in the order of their object numbers 1..K."""
        return tuple(organ.name for organ in self.organs)

    @property
    def flip_axes(self) -> list[int]:
        """Spatial axes (of RAS) a view may mirror: left-right, unless that would swap partners."""
        return [] if any(organ.partner for organ in self.organs) else [0]

    def encode(self, label: NDArray[Any], case: str, source: object = "the label map") -> NDArray[np.int16]:
        """Object numbers -1..K of a label map of the cohort; errors name it as ``source``.

        Raises:
            SemclError: for values that are not whole numbers, and for those not in the table unless it has ``others``.
        """
        numbered = {organ.index: number for number, organ in enumerate(self.organs, start=1)}
        known = {0: 0, self.ignore: IGNORED} | numbered
        objects = _looked_up(label, known, {None: STRANGE, BACKGROUND_TOO: 0, IGNORED_TOO: IGNORED}[self.others])
        if objects is not None:
            return objects
        strange = [float(value) for value in np.unique(label) if float(value) not in known]
        more = " ..." if len(strange) > 10 else ""
        raise SemclError(
            "label values outside the label table",
            case=case,
            found=f"{', '.join(f'{value:g}' for value in strange[:10])}{more} in {source}",
            expected=f"0 or one of {', '.join(str(organ.index) for organ in self.organs)}",
            remedy="add the organ to labels.yaml, or say of other labels `others: background` or `others: ignore`",
        )

    def decode(self, objects: NDArray[Any]) -> NDArray[np.uint16]:
        """The cohort's indices of a map of object numbers -1..K."""
        indices = np.array([0, *(organ.index for organ in self.organs), self.ignore], np.uint16)  # -1 is the last
        decoded: NDArray[np.uint16] = indices[objects]
        return decoded

    def phase_number(self, phase: str, case: str) -> int:
        """Number 0..P-1 of a phase.

        Raises:
            SemclError: when the phase is not in the table.
        """
        if phase not in self.phases:
            raise SemclError(
                "a phase that is not in the label table",
                case=case,
                found=phase,
                expected=f"one of {', '.join(self.phases)}",
                remedy="add it under `phases` in labels.yaml, or correct the case's phase",
            )
        return self.phases.index(phase)

    def cluster(self, number: int, phase: int) -> int:
        """Cluster label 0..K*P-1 of object ``number`` (1..K) seen in phase ``phase`` (0..P-1)."""
        return (number - 1) * len(self.phases) + phase

    def phase_of(self, cluster: int) -> int:
        """Number of the phase, 0..P-1, of a cluster label."""
        return cluster % len(self.phases)


def _looked_up(label: NDArray[Any], known: Mapping[int, int], others: int) -> NDArray[np.int16] | None:
    """The number known of each value of a map, ``others`` of any other; None when one of them is STRANGE."""
    last = max(known)
    lookup = np.full(last + 2, others, np.int16)  # one more, for all values above
    lookup[list(known)] = list(known.values())
    numbers = np.empty(label.shape, np.int16)
    values, flat = label.reshape(-1), numbers.reshape(-1)
    for first in range(0, len(values), CHUNK):
        part = values[first : first + CHUNK]
        if not (part.min() >= 0 and part.max() < LAST_LOOKED_UP):
            return None
        whole = part.astype(np.intp)
        indices = np.minimum(whole, last + 1)
        found = lookup[indices]
        if (whole != part).any() or found.min() == STRANGE:
            return None
        flat[first : first + CHUNK] = found
    return numbers
