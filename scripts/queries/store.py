"""The query store: each volume resampled once to the query grid, in flat arrays that are memory-mapped."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import freshness, ranks
from ..cohort.attention import attention_path, require_attention
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.resampling import RESAMPLING
from ..errors import SemclError
from ..files import checksum, write_text
from ..sidefiles import DAMAGE
from .building import CaseNote, build_all, build_case
from .grid import QueryGrid
from .index import INDEX_COLUMNS, make_index

FORMAT = "query store 4"  # written into the folder; incremented whenever its layout changes


class QueryStore:
    """Volumes and queries of a list of cases, built where they are missing, damaged or out of date.

    A case is a folder of ``.npy`` files, axial slices first, and ``case.json``, written last, which records what they
    were made from and what they must look like. Building resumes where it was interrupted, and ranks share it; several
    lists of cases may share a store. No volume stays open: each read maps the file and releases it, so that memory does
    not grow with the cohort.

    Args:
        folder: the store's own folder.
        cases: whose volumes; each needs an attention map.
        attention_dir: the attention maps.
        table: the label table.
        grid: where queries are cut.
        workers: cases built at once; None: one per core, at most 4.
        whole: False: a part of a cohort, which may hold nothing to query.
        channels: C, channels of the images.

    Attributes:
        index: integers (Q, 7), one row per query, columns ``INDEX_COLUMNS``: numbers of case and patient, object 1..K,
            cluster, first voxel of the patch.
        built: ids of the cases that had to be built.

    Raises:
        SemclError: when attention maps are missing or all empty, or ``folder`` holds something else.
    """

    def __init__(
        self,
        folder: str,
        cases: Sequence[Case],
        attention_dir: str,
        table: LabelTable,
        grid: QueryGrid,
        workers: int | None = None,
        whole: bool = True,
        channels: int = 1,
    ) -> None:
        require_attention(cases, attention_dir)
        self.folder, self.grid, self.attention_dir, self.table = Path(folder), grid, attention_dir, table
        self.channels = channels
        self.cases, self._whole_cases = [case.id for case in cases], list(cases)
        ranks.first_alone(self._claim)
        notes = ranks.gathered({case.id: self._note(case) for case in ranks.own(cases)})
        self.notes = {case: note for part in notes for case, note in part.items()}
        self.built = [case.id for case in cases if not self.notes[case.id]]
        missing = set(self.built)
        built = build_all(ranks.own([case for case in cases if case.id in missing]), self._build_case, workers)
        self.notes |= {case: note for part in ranks.gathered(built) for case, note in part.items()}
        self.index = make_index(cases, lambda case: self._map(case, "queries"), table)
        if whole and not len(self.index):
            raise SemclError(
                "there is nothing to query",
                found=f"attention maps in {attention_dir} that are all empty",
                expected="at least one organ in one case",
                remedy="train the coarse network longer, or supply other attention maps",
            )

    @property
    def patients(self) -> NDArray[np.integer]:
        """Number (Q,) of the patient of each query."""
        return self.index[:, 1]

    @property
    def clusters(self) -> NDArray[np.integer]:
        """Cluster (Q,), organ x phase, of each query."""
        return self.index[:, 3]

    def of(self, cases: Sequence[Case]) -> QueryStore:
        """The same store for other cases, built where they are missing."""
        return QueryStore(str(self.folder), cases, self.attention_dir, self.table, self.grid, channels=self.channels)

    def part(self, ids: Sequence[str]) -> QueryStore:
        """The same store for some of its cases; itself for all of them."""
        wanted = set(ids)
        kept = [case for case in self._whole_cases if case.id in wanted]
        return self if len(kept) == len(self.cases) else self.of(kept)

    def annotated(self) -> QueryStore:
        """The same store without queries of organs that their case does not annotate; itself where there are none.

        Pseudo-labels do not annotate organs that they lack altogether.
        """
        names = ("", *self.table.names)
        known = np.array([[case.annotates(name) for name in names] for case in self._whole_cases], bool)
        for number, case in enumerate(self._whole_cases):
            if case.pseudo:
                known[number] &= np.isin(np.arange(len(names)), self._map(case.id, "target"))
        kept = known.reshape(-1, len(names))[self.index[:, 0], self.index[:, 2]]
        if kept.all():
            return self
        part = copy.copy(self)
        part.index = self.index[kept]
        return part

    @property
    def slices(self) -> NDArray[np.integer]:
        """Number (Q,) of the slice that each query is cut from; of the scan where queries are cubes."""
        place = self.index[:, [0, 6]] if self.grid.spatial_dims == 2 else self.index[:, [0]]
        return np.unique(place, axis=0, return_inverse=True)[1].ravel()

    def _claim(self) -> None:
        """Mark the folder as a query store, unless it is something else."""
        mark = self.folder / "store.json"
        if freshness.noted(mark).get("format") == FORMAT:
            return
        if self.folder.is_dir() and any(not path.name.endswith(".store.json") for path in self.folder.iterdir()):
            raise SemclError(
                "the folder of the query store holds something else",
                found=f"files in {self.folder}, but no store.json with the format {FORMAT!r}",
                expected="a folder of its own",
                remedy="point --store_dir at a new folder, or remove this one if it is an older store",
            )
        write_text(mark, json.dumps({"format": FORMAT, "columns": INDEX_COLUMNS}, indent=1))

    def _key(self, case: Case) -> str:
        """The key of all sources of a case's files."""
        files = [case.image, case.label, attention_path(self.attention_dir, case.id)]
        stamps = [[path.name, *(freshness.stamp(path) or (None, None))] for path in files if path is not None]
        return freshness.key([RESAMPLING, self.grid.settings(), self.table.digest(), self.channels, stamps])

    def _note(self, case: Case) -> dict[str, Any]:
        """The note of a case that is there and whole; empty for one to build."""
        path = self.folder / case.id / "case.json"
        try:
            note = dict(json.loads(path.read_text()))
            current = note["key"] == self._key(case)
            damaged = [name for name, file in note["files"].items() if not _whole(path.with_name(f"{name}.npy"), file)]
        except FileNotFoundError:
            return {}
        except DAMAGE:
            current, damaged = True, ["case.json"]
        if current and damaged:
            logging.getLogger(__name__).warning(
                "query store: %s of case %s is damaged and will be built again", ", ".join(damaged), case.id
            )
        return {} if damaged or not current else note

    def _build_case(self, case: Case) -> CaseNote:
        key = self._key(case)  # first: a file that changes meanwhile then has another key
        attention, folder = attention_path(self.attention_dir, case.id), self.folder / case.id
        note = {"key": key, "files": build_case(case, attention, folder, self.table, self.grid, self.channels)}
        write_text(folder / "case.json", json.dumps(note, indent=1))
        return note

    def _map(self, case: str, name: str) -> NDArray[Any]:
        """An array of a case, mapped copy-on-write: nothing is written to the file, and torch accepts it.

        A file that is deleted later remains readable while it is mapped.

        Raises:
            SemclError: when the file is gone or its size has changed.
        """
        file = self.notes[case]["files"][name]
        if not file["shape"][0]:
            return np.empty(file["shape"], file["dtype"])
        path = self.folder / case / f"{name}.npy"
        size = path.stat().st_size if path.is_file() else None
        if size != file["size"]:  # before each read: access beyond the end of a mapped file is fatal
            raise SemclError(
                "the query store was changed while it was in use",
                case=case,
                found=f"no {path}" if size is None else f"{path} of {size} bytes",
                expected=f"the {file['size']} bytes that were there at the start",
                remedy="keep other runs off this --store_dir, then continue with --resume True: it is built again",
            )
        return np.memmap(path, file["dtype"], "c", file["offset"], tuple(file["shape"]))

    def volume(self, case: int, name: str) -> torch.Tensor:
        """A volume of a case by number, mapped from its file: "image" (C, X, Y, Z), "attention" or "target" (X, Y, Z).

        Raises:
            SemclError: when the case has no target, or its file has changed.
        """
        if name not in self.notes[self.cases[case]]["files"]:
            raise SemclError(
                f"the query store has no {name} of a case",
                case=self.cases[case],
                found=f"no {name}.npy in {self.folder / self.cases[case]}",
                expected="a case with a label map: this stage learns from it",
                remedy="add the label map and run `python -m scripts prepare` again, or leave the case out",
            )
        return torch.from_numpy(self._map(self.cases[case], name)).movedim(0, -1)


def _whole(path: Path, file: Mapping[str, Any]) -> bool:
    """Whether a file is as it was written; its content is read only where its time is another (a copied store)."""
    if not path.is_file() or path.stat().st_size != file["size"]:
        return False
    return bool(path.stat().st_mtime_ns == file["modified"]) or checksum(path) == file["checksum"]
