"""One scan on the query grid with its maps, and its objects as examples: as found, and with injected errors."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..cohort.attention import attention_path
from ..cohort.case import Case
from ..cohort.components import boxes
from ..cohort.label_table import IGNORED, LabelTable
from ..cohort.provenance import simulated_maps
from ..cohort.volume import read, read_label, read_objects, spacing
from ..queries.grid import QueryGrid
from .examples import Examples
from .injection import Injector, another_map
from .kinds import ISLAND, LEAK, MISSING_PART, OTHER_SCAN, SLICE_OFF, WRONG_ORGAN
from .measures import AGREEMENT, MEASURES, ObjectMap, agreement, contacts, measure_object
from .vectors import Encoding, embed_objects, object_queries

INJECTED = (WRONG_ORGAN, MISSING_PART, LEAK, ISLAND, SLICE_OFF)
BLURRED = "blurred"  # a map as a coarse network may give it: examples of Dice, not of errors of annotators
LABEL, MAP, OPINION = "label", "map", "attention"  # where an object comes from


@dataclass(frozen=True)
class AuditScan:
    """A scan on the query grid, and its objects that were added.

    Args:
        case: the case.
        table: the label table.
        grid: the query grid.
        image: intensities (C, X, Y, Z) between -1 and 1.
        size: mm of the grid's voxels.
        label: object numbers (X, Y, Z) of the label map, if any.
        given: those of the audited map, if any.
        attention: those of the attention map, if any.
        known: where the label map is not ignored; None for everywhere.
        encoding: embeds the objects; None for none.
    """

    case: Case
    table: LabelTable
    grid: QueryGrid
    image: torch.Tensor
    size: list[float]
    label: ObjectMap | None = None
    given: ObjectMap | None = None
    attention: ObjectMap | None = None
    known: NDArray[np.bool_] | None = None
    encoding: Encoding | None = None
    added: list[dict[str, Any]] = field(default_factory=list, repr=False)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    @cached_property
    def grey(self) -> NDArray[np.float32]:
        """Intensities (X, Y, Z), the mean of the channels."""
        mean: NDArray[np.float32] = self.image.float().mean(0).numpy()
        return mean

    def add(
        self,
        objects: ObjectMap,
        kind: str = "",
        source: str = LABEL,
        only: int | None = None,
        centres: Mapping[int, NDArray[np.float64]] | None = None,
    ) -> None:
        """Add the objects of a map (X, Y, Z), or one; of a label map those that were annotated.

        Args:
            objects: object numbers.
            kind: of the error that was injected.
            source: of the map.
            only: the only object wanted.
            centres: of the map's objects (mm), where they are known.
        """
        places = boxes(objects, len(self.table))
        if centres is None:
            centres = Injector(objects, self.table, self.size, np.random.default_rng(0)).centres
        for number, box in enumerate(places, start=1):
            name, stated = self.table.names[number - 1], self.case.annotated if source == LABEL else None
            if box is None or only not in (None, number) or (stated is not None and name not in stated):
                continue
            own = objects[box] == number
            corner = [part.start for part in box]
            same = dict.fromkeys(AGREEMENT, np.nan)
            if self.attention is not None and source == LABEL:
                outside = self._volumes("attention")[number] - int((self.attention[box] == number).sum())
                same = agreement(own, self.attention[box], number, outside)
            measures = measure_object(objects, self.grey, self.size, number, box, centres)
            self.added.append(
                {
                    "organs": name,
                    "kinds": kind,
                    "sources": source,
                    "dice": self._dice(own, box, number),
                    "measures": [*(measures[one] for one in MEASURES), *same.values()],
                    "contacts": contacts(_widened(objects, box), number, len(self.table)),
                    "starts": np.argwhere(own).mean(0).round().astype(np.int64) + corner,
                    "queries": [] if self.encoding is None else object_queries(
                        self.grid, own.astype(np.int16), corner, self.encoding.queries
                    ),
                }
            )  # fmt: skip

    def _volumes(self, name: str) -> NDArray[np.int64]:
        """Voxels of each object number of the label map or attention map."""
        if name not in self.counts:
            objects = np.maximum(getattr(self, name), 0)
            self.counts[name] = np.bincount(objects.ravel(), minlength=len(self.table) + 1)
        return self.counts[name]

    def _dice(self, own: NDArray[np.bool_], box: tuple[slice, ...], number: int) -> float:
        """Dice of an object with the label map's, but for ignored voxels; NaN where its organ is not annotated."""
        if self.label is None or not self.case.annotates(self.table.names[number - 1]):
            return math.nan
        own = own if self.known is None else own & self.known[box]
        both = int((own & (self.label[box] == number)).sum())
        total = int(own.sum()) + int(self._volumes("label")[number])
        return 2 * both / total if total else math.nan

    def inject(
        self,
        seed: int,
        donor: ObjectMap | None = None,
        blur: Callable[[torch.Tensor], torch.Tensor] | None = None,
        kinds: Sequence[str] = INJECTED,
    ) -> None:
        """Add every object of the label map with an error of each kind, and those of whole maps that are wrong.

        Args:
            seed: of the errors, together with the case's id.
            donor: the label map of another patient's scan, for ``OTHER_SCAN``.
            blur: from the label map to one as a network might give it.
            kinds: errors of single objects.
        """
        if self.label is None:
            return
        rng = np.random.default_rng([seed, zlib.crc32(self.case.id.encode())])
        injector = Injector(self.label, self.table, self.size, rng)
        for number in injector.voxels:
            for kind in kinds:
                made = injector.inject(kind, number)
                if made is not None:
                    self.add(made, kind, only=number, centres=injector.centres)
        if donor is not None:
            self.add(another_map(donor, self.label.shape), OTHER_SCAN)
        if blur is not None:
            self.add(blur(torch.from_numpy(np.ascontiguousarray(self.label))).numpy(), BLURRED)

    def examples(self) -> Examples:
        """The objects that were added, which are then forgotten."""
        rows, count = list(self.added), len(self.added)
        self.added.clear()
        vectors = np.zeros((count, 0, 0), np.float32)
        if self.encoding is not None and count:
            vectors = embed_objects(self.grid, self.image, [row["queries"] for row in rows], self.encoding)

        def column(name: str, kind: Any) -> NDArray[Any]:
            return np.array([row[name] for row in rows], kind)

        return Examples(
            cases=np.full(count, self.case.id),
            patients=np.full(count, self.case.patient),
            phases=np.full(count, self.case.phase),
            organs=column("organs", np.str_),
            kinds=column("kinds", np.str_),
            sources=column("sources", np.str_),
            dice=column("dice", np.float64),
            measures=column("measures", np.float64).reshape(count, len(MEASURES) + len(AGREEMENT)),
            contacts=column("contacts", np.float32).reshape(count, len(self.table) + 1),
            vectors=vectors,
            starts=column("starts", np.int64).reshape(count, 3),
        )


def _widened(objects: ObjectMap, box: tuple[slice, ...]) -> ObjectMap:
    """The part of a map in a box and one voxel around it."""
    part: ObjectMap = objects[tuple(slice(max(0, ends.start - 1), ends.stop + 1) for ends in box)]
    return part


@dataclass(frozen=True)
class ScanReader:
    """Reads scans and maps onto the query grid.

    Args:
        table: the label table.
        grid: the query grid.
        channels: of the images.
        attention_dir: attention maps, another network's opinion on labelled cases.
        encoding: embeds the objects; None for none.
    """

    table: LabelTable
    grid: QueryGrid
    channels: int
    attention_dir: str
    encoding: Encoding | None = None

    @property
    def second_opinion(self) -> bool:
        """Whether attention maps of labelled cases know nothing of their label maps: false of simulated ones."""
        return not simulated_maps(self.attention_dir)

    def scan(self, case: Case, given: Path | None = None) -> AuditScan:
        """A scan with its label map, attention map and the map in the file ``given``, as far as there are any.

        Raises:
            SemclError: when a file cannot be read, has another grid, or values outside the label table.
        """
        image = read(case.image, case.id, self.channels)

        def on_grid(objects: NDArray[Any]) -> ObjectMap:
            resampled: ObjectMap = self.grid.objects(torch.from_numpy(objects), image).numpy()
            return resampled

        def objects_in(path: Path | None) -> ObjectMap | None:
            if path is None:
                return None
            return np.maximum(on_grid(read_objects(path, image, case.id, self.table)), 0)  # without ignored voxels

        label = None if case.label is None else on_grid(read_label(case, image, self.table))
        attention = attention_path(self.attention_dir, case.id)
        other = attention.is_file() and (case.label is None or self.second_opinion)
        sizes = zip(image.shape[1:], spacing(image), self.grid.shape(image), strict=True)
        return AuditScan(
            case,
            self.table,
            self.grid,
            self.grid.image(image),
            [count * mm / new for count, mm, new in sizes],
            None if label is None else np.maximum(label, 0),
            objects_in(given),
            objects_in(attention if other else None),
            None if label is None or label.min(initial=0) > IGNORED else label != IGNORED,
            self.encoding,
        )
