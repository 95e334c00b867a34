"""The one long table of results: one row per case, organ, method and metric."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from .. import ranks
from ..bars import bar
from ..cohort.case import Case, unlabelled
from ..cohort.components import Box, boxes
from ..cohort.label_table import LabelTable
from ..cohort.volume import read, read_objects, spacing
from ..cohort.volume_files import volumes
from ..errors import SemclError, raise_all
from ..files import write_csv
from .metrics import BY_NAME, INTERSECTION, UNION, VOLUME, measure_organ
from .surfaces import AREA

BACKGROUND = "background"  # listed among the organs where all are annotated: its overlap with the ground truth's
TRUTH = "truth"  # the name of the ground truth among the methods


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


ROW_COLUMNS = tuple(field.name for field in fields(Row))


def measure_cases(
    cases: Sequence[Case],
    methods: Mapping[str, Path],
    table: LabelTable,
    tolerance: float = 2.0,
    workers: int = 2,
    nsd: str = AREA,
) -> list[Row]:
    """Every metric of each method's label maps, on the voxels of each case's ground truth.

    See ``measure_organ`` for organs that are missed or absent. An organ that is not annotated in a case
    (``Case.annotated``) has no rows there. Voxels that the ground truth ignores count towards nothing.

    Args:
        cases: cases with label maps.
        methods: name -> folder with a label map for each case, in any format.
        table: the label table.
        tolerance: of NSD, mm, for organs without one in the table.
        workers: how many cases are measured at once.
        nsd: what NSD counts, "area" of the surfaces or "edges": their voxels.

    Raises:
        SemclError: for all label maps that are missing, or all that do not fit.
    """
    found = {name: volumes(folder) if folder.is_dir() else {} for name, folder in methods.items()}
    raise_all([_missing(name, methods[name], case) for name in methods for case in cases if case.id not in found[name]])

    wrong: list[SemclError] = []

    def rows_of(case: Case) -> list[Row]:
        try:
            return measure_case(case, {name: found[name][case.id] for name in methods}, table, tolerance, nsd)
        except SemclError as error:
            wrong.append(error)
            return []

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        measured = pool.map(rows_of, cases)
        shown = bar(measured, total=len(cases), title="evaluate", unit="case", hidden=ranks.number() > 0)
        rows = [row for several in shown for row in several]
    raise_all(wrong, of="the label maps")
    return rows


def measure_case(
    case: Case, maps: Mapping[str, Path], table: LabelTable, tolerance: float, nsd: str = AREA
) -> list[Row]:
    """The rows of one case; ``maps`` is method -> label map."""
    if case.label is None:
        raise unlabelled(case)
    label = read(case.label, case.id, indices=True)
    labelled = table.encode(label[0].numpy(), case.id, case.label)
    truth, known = np.maximum(labelled, 0), labelled >= 0
    sizes = spacing(label)
    voxel = abs(float(np.linalg.det(np.asarray(label.affine)[:3, :3])))  # mm3, of sheared axes too
    diagonal = float(np.linalg.norm(np.multiply(truth.shape, sizes)))
    annotated = table.names if case.annotated is None else case.annotated
    organs = [(number, organ) for number, organ in enumerate(table.organs, start=1) if organ.name in annotated]
    truth_boxes = boxes(truth, len(table))
    rows: list[Row] = []

    def add(method: str, organ: str, values: Mapping[str, float]) -> None:
        names = (case.id, case.patient, organ, case.phase, method)
        rows.extend(Row(*names, metric, value) for metric, value in values.items())

    for number, organ in organs:
        box = truth_boxes[number - 1]
        add(TRUTH, organ.name, {VOLUME: float((truth[box] == number).sum() * voxel / 1000) if box else 0.0})
    for method, path in maps.items():
        objects = read_objects(path, label, case.id, table, like="true label map")
        prediction = np.maximum(objects, 0)
        predicted_boxes = boxes(prediction, len(table))
        for number, organ in organs:
            box = _around(predicted_boxes[number - 1], truth_boxes[number - 1])
            masks = prediction[box] == number, truth[box] == number
            within = organ.tolerance or tolerance
            add(method, organ.name, measure_organ(*masks, sizes, within, diagonal, known[box], nsd, voxel))
        if case.annotated is None:
            outside = (prediction == 0) & known, (truth == 0) & known
            overlap = {INTERSECTION: outside[0] & outside[1], UNION: outside[0] | outside[1]}
            add(method, BACKGROUND, {metric: float(voxels.sum() * voxel / 1000) for metric, voxels in overlap.items()})
    return rows


def _around(one: Box | None, other: Box | None) -> Box:
    """The smallest box around both and their neighbours, an empty one around neither."""
    held = [box for box in (one, other) if box is not None]
    if not held:
        return (slice(0, 0),) * 3
    return tuple(
        slice(max(min(side.start for side in sides) - 1, 0), max(side.stop for side in sides) + 1)
        for sides in zip(*held, strict=True)
    )


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the table as CSV."""
    write_csv(path, [ROW_COLUMNS, *([*astuple(row)[:-1], f"{row.value:.6f}"] for row in rows)])


def read_metrics(path: Path) -> list[Row]:
    """The rows of metrics, without volumes and counts, of a table as ``write_rows`` leaves it."""
    with open(path, newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] in BY_NAME]
    return [Row(**{name: line[name] for name in line if name != "value"}, value=float(line["value"])) for line in lines]


def _missing(method: str, folder: Path, case: Case) -> SemclError:
    stage = {"coarse": "run coarse.yaml first", "refined": "run inference.yaml first"}
    return SemclError(
        f"no label map of method {method}",
        case=case.id,
        found=f"no {case.id}.nii.gz (nor .nii, .nrrd, .mha) in {folder}",
        expected="a label map of every case that is measured",
        remedy=stage.get(method, "add it, or leave the case out"),
    )
