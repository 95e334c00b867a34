"""Pictures of the worst cases: the image, the ground truth and each method's label map."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.pictures import is_photo
from ..cohort.volume import read, read_label, read_objects, spacing
from ..cohort.volume_files import volumes
from ..cohort.window import normalise
from ..files import written_whole
from .metrics import METRICS
from .rows import TRUTH
from .slices import overlay_figure
from .summary import Summary


def worst_cases(summary: Summary, cases: Sequence[Case], count: int) -> list[tuple[Case, float]]:
    """The cases in which the main method's mean Dice is lowest, worst first, each with that mean."""
    values: dict[str, list[float]] = {}
    for row in summary.rows:
        if row.method == summary.main and row.metric == METRICS[0].name:
            values.setdefault(row.case, []).append(row.value)
    means = {case: sum(found) / len(found) for case, found in values.items()}
    order = sorted((case for case in cases if case.id in means), key=lambda case: means[case.id])
    return [(case, means[case.id]) for case in order[:count]]


def case_picture(
    case: Case,
    dice: float,
    methods: Mapping[str, Path],
    main: str,
    table: LabelTable,
    window: Sequence[float] | str,
    folder: Path,
) -> dict[str, str]:
    """A case's title, a description of its picture, and the picture, also written to ``folder``/<case>.png.

    Args:
        case: the case, with a label map.
        dice: its mean Dice, for the title.
        methods: name -> folder of label maps.
        main: the method whose errors choose the slice.
        table: the label table.
        window: intensities shown.
        folder: where the picture is written.
    """
    image = read(case.image, case.id, 3 if is_photo(case.image) else 1)
    maps = {TRUTH: read_label(case, image, table)}
    for method, predictions in methods.items():
        maps[method] = read_objects(volumes(predictions)[case.id], image, case.id, table)
    unknown = [] if case.annotated is None else [name for name in table.names if name not in case.annotated]
    numbers = [table.names.index(name) + 1 for name in unknown]
    counted = (maps[TRUTH] >= 0) & ~np.isin(maps[main], numbers)
    maps = {name: np.maximum(objects, 0) for name, objects in maps.items()}  # without ignored voxels
    pixels = normalise(image.as_tensor(), window).movedim(0, -1).numpy()
    png = overlay_figure(pixels, maps, spacing(image), len(table), main, window, counted)
    with written_whole(folder / f"{case.id}.png") as aside:
        aside.write_bytes(png)
    return {
        "title": f"{case.id} ({case.phase}): mean Dice {dice:.3f}",
        "shows": ", ".join(["image", "ground truth", *methods]),
        "picture": "data:image/png;base64," + base64.b64encode(png).decode(),
    }
