"""Rows measured by several runs: each leaves its shard's in a file, and a run over all cases collects them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from .. import freshness
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.volume_files import volumes
from ..files import write_text
from ..sidefiles import DAMAGE
from ..version import __version__
from .rows import Row
from .surfaces import AREA


class ShardRows:
    """Rows of cases, kept in a folder as <name>.json together with stamps of the files they were measured on.

    Args:
        folder: the folder of these files.
        methods: name -> folder of label maps.
        table: the label table.
        tolerance: of NSD, mm, for organs without one in the table.
        nsd: what NSD counts.
    """

    def __init__(
        self, folder: Path, methods: Mapping[str, Path], table: LabelTable, tolerance: float, nsd: str = AREA
    ) -> None:
        self.folder = folder
        self.maps = {name: volumes(path) if path.is_dir() else {} for name, path in methods.items()}
        tolerances = [tolerance if organ.tolerance is None else organ.tolerance for organ in table.organs]
        self.key = freshness.key([__version__, table.digest(), tolerances, nsd, list(methods)])

    def write(self, name: str, cases: Sequence[Case], rows: Sequence[Row]) -> None:
        """Write the rows of these cases, replacing an earlier file of that name."""
        by_case: dict[str, list[tuple[Any, ...]]] = {case.id: [] for case in cases}
        for row in rows:
            by_case[row.case].append(astuple(row))
        content = {case.id: {"stamp": self._stamp(case), "rows": by_case[case.id]} for case in cases}
        write_text(self.folder / f"{name}.json", json.dumps({"key": self.key, "cases": content}))

    def read(self, cases: Sequence[Case]) -> dict[str, list[Row]]:
        """Case id -> rows, of the cases whose files are as they were measured."""
        found: dict[str, list[Row]] = {}
        wanted = {case.id: case for case in cases}
        for path in sorted(self.folder.glob("*.json")):
            try:
                content = dict(json.loads(path.read_text()))
                kept = content["cases"] if content["key"] == self.key else {}
                for case, part in kept.items():
                    if case in wanted and part["stamp"] == self._stamp(wanted[case]):
                        found[case] = [Row(*row) for row in part["rows"]]
            except DAMAGE:
                continue
        return found

    def _stamp(self, case: Case) -> list[Any]:
        """Return what identifies a case's files, and the case the rows belong to."""
        files = [case.label, *(maps.get(case.id) for maps in self.maps.values())]
        of = [case.patient, case.phase, None if case.annotated is None else list(case.annotated)]
        return [of, *map(freshness.stamp, files)]
