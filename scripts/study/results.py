"""The results of all cells of a study: values by organ, strategy, seed and patient; costs; embeddings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SemclError
from ..evaluate.rows import Row, read_metrics
from ..evaluate.statistics import ALL
from ..sidefiles import for_show, plain_note
from .cells import Cell
from .plan import FIRST, Plan, Unit
from .strategy import FLOOR
from .unit_process import QUERIES

Values = NDArray[np.float64]


@dataclass(frozen=True)
class StudyRow:
    """One measured value (its method is the strategy) with the seed and the cell it belongs to."""

    seed: int
    cell: Cell
    row: Row


class Results:
    """The measured cells of a plan.

    Args:
        plan: the study, with all units done.
        floor: split -> rows of the coarse maps of its testing cases.
        organs: names of the organs, in the order of the label table.
        phases: names of the phases.

    Attributes:
        methods: the coarse map, then the strategies.
        sizes: how many cases and how many patients were tested.

    Raises:
        SemclError: when nothing was measured.
    """

    def __init__(
        self, plan: Plan, floor: Mapping[str, Sequence[Row]], organs: Sequence[str], phases: Sequence[str]
    ) -> None:
        self.plan, self.phases = plan, tuple(phases)
        self.methods = (FLOOR, *(strategy.name for strategy in plan.strategies))
        self.measured = list(self._read(floor))
        present = {found.row.organ for found in self.measured}
        self.organs = tuple(organ for organ in organs if organ in present)
        if not self.organs:
            raise SemclError(
                "there is nothing to compare",
                found="no organ in the label maps of the testing cases",
                expected="at least one organ in one case",
                remedy="check that the label maps are those of these scans",
            )
        tested = {(found.row.case, found.row.patient) for found in self.measured}
        self.sizes = len(tested), len({patient for _, patient in tested})

    def _read(self, floor: Mapping[str, Sequence[Row]]) -> Iterable[StudyRow]:
        for unit in self.plan.units():
            for cell in self.plan.cells:
                rows = read_metrics(unit.cell_folder(cell) / "rows.csv")
                yield from (StudyRow(unit.seed, cell, row) for row in rows)
        for of_split in floor.values():  # the same for every seed and cell
            for row in of_split:
                yield from (StudyRow(seed, cell, row) for seed in range(self.plan.seeds) for cell in self.plan.cells)

    def values(self, cell: Cell, metric: str = "dice", phase: str | None = None) -> dict[str, dict[str, Values]]:
        """Organ (or ``ALL``, a patient's mean over organs) -> method -> values (seeds, patients), averaged over scans.

        An organ's patients are those who have it, in alphabetical order.
        """
        collected: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
        for found in self.measured:
            row = found.row
            if found.cell == cell and row.metric == metric and phase in (None, row.phase):
                for organ in (row.organ, ALL):
                    collected[organ, row.method, found.seed, row.patient].append(row.value)
        tables: dict[str, dict[str, Values]] = {}
        for organ in (ALL, *self.organs):
            patients = sorted({key[3] for key in collected if key[0] == organ})
            if patients:
                tables[organ] = {
                    method: np.array(
                        [
                            [np.mean(collected[organ, method, seed, patient]) for patient in patients]
                            for seed in range(self.plan.seeds)
                        ]
                    )
                    for method in self.methods
                }
        return tables

    def rows(self) -> list[dict[str, Any]]:
        """All values, each with its seed, protocol and share of labels."""
        return [
            {
                "seed": found.seed,
                "protocol": found.cell.protocol,
                "labelled": found.cell.labelled,
                **{name: getattr(found.row, name) for name in Row.__dataclass_fields__},
            }
            for found in self.measured
        ]

    def costs(self) -> list[dict[str, Any]]:
        """One line per strategy: the cost of its stages on the machines they ran on, mean over seeds and splits."""
        lines = []
        for strategy in self.plan.strategies:
            units = [unit for unit in self.plan.units() if unit.strategy == strategy]
            notes = [note for unit in units for note in _read_all(unit, self.plan.cells, "jobs/*.json", _cost)]
            shown = [seen for unit in units for seen in _read_all(unit, self.plan.cells, QUERIES, _queries)]
            line: dict[str, Any] = {"strategy": strategy.name}
            times = {"pretrain": len(units), **dict.fromkeys(("train", "inference"), len(units) * len(self.plan.cells))}
            for stage, count in times.items():
                line[f"{stage}_seconds"] = sum(note["seconds"] for note in notes if note["stage"] == stage) / count
            for stage in ("pretrain", "train"):
                line[f"{stage}_queries"] = round(sum(seen.get(stage, 0) for seen in shown) / times[stage])
            for kind in ("resident_mib", "gpu_mib"):
                peaks = [note["peak_memory"][kind] for note in notes if kind in note["peak_memory"]]
                if peaks:
                    line[kind] = max(peaks)
            lines.append(line)
        return lines

    def embeddings(self) -> list[dict[str, Any]]:
        """One line per measure of the embed stage: "untrained" or a strategy -> mean over seeds and splits."""
        found: dict[str, dict[str, list[float]]] = {}
        for unit in self.plan.units():
            path = unit.folder / "embeddings" / "summary.json"
            if not path.is_file():
                continue
            for title, by_encoder in for_show(path, _measures) or []:
                line = found.setdefault(title, {})
                for method, encoder in ((unit.strategy.name, "pretrained"), ("untrained", "untrained")):
                    value = by_encoder[encoder]
                    if value is not None:
                        line.setdefault(method, []).append(value)
        return [
            {"measure": title, **{method: float(np.mean(values)) for method, values in line.items()}}
            for title, line in found.items()
        ]


def _read_all(
    unit: Unit, cells: Sequence[Cell], pattern: str, read: Callable[[Path], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The content of JSON files of a unit and its cells, without those that are damaged."""
    of_cells = [unit.cell_folder(cell) for cell in cells]
    folders = [unit.folder, *of_cells, *(folder / FIRST for folder in of_cells)]
    found = [for_show(path, read) for folder in folders for path in sorted(folder.glob(pattern))]
    return [note for note in found if note is not None]


def _cost(path: Path) -> dict[str, Any]:
    """Stage, seconds and peak memory of a manifest."""
    note = plain_note(path)
    peaks = note["peak_memory"]
    if not all(isinstance(number, int | float) for number in (note["seconds"], *peaks.values())):
        raise TypeError("values of other types than a run's")
    return {"stage": str(note["stage"]), "seconds": note["seconds"], "peak_memory": peaks}


def _queries(path: Path) -> dict[str, Any]:
    return {stage: int(count) for stage, count in plain_note(path).items()}


def _measures(path: Path) -> list[tuple[str, dict[str, float | None]]]:
    """Title and values by encoder, for each measure of the embed stage."""
    content = plain_note(path)
    found = []
    for measure in content["measures"]:
        values = [None if value is None else float(value) for value in measure["found"]]
        by_encoder = dict(zip(content["encoders"], values, strict=True))
        found.append((str(measure["title"]), {name: by_encoder[name] for name in ("pretrained", "untrained")}))
    return found
