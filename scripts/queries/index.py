"""The index of a query store: one row per query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cohort.case import Case
from ..cohort.label_table import LabelTable

INDEX_COLUMNS = ("case", "patient", "object", "cluster", "x", "y", "z")


def make_index(
    cases: Sequence[Case], queries_of: Callable[[str], NDArray[Any]], table: LabelTable
) -> NDArray[np.int32]:
    """Queries (Q, 7) of all cases, columns ``INDEX_COLUMNS``, from each case's (object, x, y, z) by its id."""
    patients = {patient: number for number, patient in enumerate(sorted({case.patient for case in cases}))}
    rows = [np.empty((0, len(INDEX_COLUMNS)), np.int32)]
    for number, case in enumerate(cases):
        queries = queries_of(case.id)
        phase = table.phase_number(case.phase, case.id)
        cluster = [table.cluster(int(organ), phase) for organ in queries[:, 0]]
        fixed = np.tile(np.array([number, patients[case.patient]], np.int32), (len(queries), 1))
        rows.append(np.column_stack([fixed, queries[:, 0], np.array(cluster, np.int32), queries[:, 1:]]))
    return np.concatenate(rows)
