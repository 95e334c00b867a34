"""The one long table of results: a row a case, organ, method and metric."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..cohort.datalist import Case, read_label
from ..cohort.labels import LabelTable
from ..cohort.volume import read, read_objects
from ..errors import SemclError, raise_all
from ..files import written_whole


@dataclass(frozen=True)
class Row:
    """One measured value."""

    case: str
    patient: str
    organ: str
    phase: str
    method: str
    metric: str
    value: float


COLUMNS = tuple(field.name for field in fields(Row))


def measure(cases: Sequence[Case], methods: Mapping[str, Path], table: LabelTable) -> list[Row]:
    """Dice of each method's label maps on each case's own voxels.

    A missed organ has a Dice of 0. An organ absent from the truth counts once any method draws it: 0 for a method that
    does, 1 for one that leaves it out; when none draws it there is no row. So methods can always be paired.

    Args:
        cases: cases with label maps.
        methods: name -> folder with <case>.nii.gz.
        table: the label table.

    Raises:
        SemclError: naming every label map that is missing, or the first that does not fit.
    """
    raise_all([_missing(name, path) for name, folder in methods.items() for path in _absent(cases, folder)])
    rows = []
    for case in tqdm(cases, desc="evaluate", unit="case"):
        image = read(case.image, case.case)
        truth = read_label(case, image, table)
        values = {
            method: dice(read_objects(folder / f"{case.case}.nii.gz", image, case.case, table), truth, len(table))
            for method, folder in methods.items()
        }
        somewhere = np.logical_or.reduce([~np.isnan(found) for found in values.values()])
        rows += [
            Row(
                case.case,
                case.patient,
                table.names[organ],
                case.phase,
                method,
                "dice",
                1.0 if np.isnan(value) else value,
            )
            for method, found in values.items()
            for organ, value in enumerate(found.tolist())
            if somewhere[organ]
        ]
    return rows


def dice(drawn: NDArray[np.integer], truth: NDArray[np.integer], objects: int) -> NDArray[np.float64]:
    """Dice (objects,) of object numbers 1..objects; NaN for one that is in neither map (X, Y, Z)."""
    sizes = [np.bincount(part.ravel(), minlength=objects + 1)[1:] for part in (drawn, truth, drawn[drawn == truth])]
    total = sizes[0] + sizes[1]
    return np.where(total > 0, 2 * sizes[2] / np.maximum(total, 1), np.nan)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the table as CSV."""
    with written_whole(path) as aside, open(aside, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows([*astuple(row)[:-1], f"{row.value:.6f}"] for row in rows)


def _absent(cases: Sequence[Case], folder: Path) -> list[Path]:
    return [path for case in cases if not (path := folder / f"{case.case}.nii.gz").is_file()]


def _missing(method: str, path: Path) -> SemclError:
    stage = {"coarse": "coarse.yaml", "refined": "inference.yaml"}.get(method, "the method")
    return SemclError(
        f"no label map of method {method}",
        case=path.name.removesuffix(".nii.gz"),
        found=f"no {path}",
        expected="a label map of every case that is measured",
        remedy=f"run {stage} first",
    )
