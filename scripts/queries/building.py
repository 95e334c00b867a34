"""Building of a query store: the arrays of each case on the query grid, written to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import ranks
from ..bars import bar
from ..cohort.attention import read_attention
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.volume import read, read_label
from ..cohort.volume_files import readers
from ..files import checksum, written_whole
from .grid import QueryGrid

CaseNote = dict[str, Any]


def build_all(cases: Sequence[Case], build: Callable[[Case], CaseNote], workers: int | None) -> dict[str, CaseNote]:
    """Build several cases at once with a progress bar: case id -> what ``build`` returns of it."""
    if not cases:
        return {}
    with ThreadPoolExecutor(readers(workers)) as pool:
        building = {pool.submit(build, case): case.id for case in cases}
        finished = as_completed(building)
        try:
            progress = bar(finished, total=len(cases), title="query store", unit="case", hidden=ranks.number() > 0)
            return {building[done]: done.result() for done in progress}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def build_case(
    case: Case, attention: Path, folder: Path, table: LabelTable, grid: QueryGrid, channels: int
) -> dict[str, CaseNote]:
    """Write the arrays of a case into its folder: name of each array -> what its file must look like.

    Args:
        case: the case.
        attention: its attention map.
        folder: the case's own folder in the store.
        table: the label table.
        grid: where queries are cut.
        channels: C, channels of the image.
    """
    image = read(case.image, case.id, channels)
    on_grid = _compact(grid.attention(read_attention(attention, image, case.id, table), image), table)
    arrays = {
        "image": _slices_first(grid.image(image).numpy().astype(np.float16)),
        "attention": _slices_first(on_grid),
        "queries": grid.queries(on_grid),
    }
    if case.label is not None:
        target = grid.objects(torch.from_numpy(read_label(case, image, table)), image)
        arrays["target"] = _slices_first(_compact(target, table))
    return {name: write_array(folder / f"{name}.npy", array) for name, array in arrays.items()}


def _compact(objects: torch.Tensor, table: LabelTable) -> NDArray[Any]:
    """Object numbers in as few bytes as they need."""
    numbers = objects.numpy()
    return numbers.astype(np.int8) if len(table) < 128 else numbers


def _slices_first(volume: NDArray[Any]) -> NDArray[Any]:
    """(..., X, Y, Z) as (Z, ..., X, Y), so that an axial patch lies in few pages of the file."""
    return np.ascontiguousarray(np.moveaxis(volume, -1, 0))


def write_array(path: Path, array: NDArray[Any]) -> CaseNote:
    """Write an array; returns what its file must look like."""
    with written_whole(path) as partial:
        np.save(partial, array)
    stat = path.stat()
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.str,
        "offset": stat.st_size - array.nbytes,
        "size": stat.st_size,
        "modified": stat.st_mtime_ns,
        "checksum": checksum(path),
    }
