"""The query store: each volume decoded once onto the query grid, as flat arrays opened by memory map."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from .. import ranks
from ..cohort.attention import attention_path, read_attention, require_attention
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.volume import read, read_label
from ..errors import SemclError
from ..files import checksum, write_text, written_whole
from ..sidefiles import DAMAGE
from .grid import QueryGrid

COLUMNS = ("case", "patient", "object", "cluster", "x", "y", "z")
FORMAT = "query store 4"  # written into the folder; another number, another layout
MOST_WORKERS = 4  # each holds a few copies of a volume


class QueryStore:
    """Volumes and queries of a list of cases, made as far as they are missing, damaged or made of something else.

    A case is a folder of ``.npy`` files, axial slices first, and ``case.json``, written last, which says what they were
    made of and what they must look like. Building goes on where it was interrupted, and ranks share it; several lists
    of cases may share a store. No volume stays open: a read maps the file and lets it go, so that memory does not grow
    with the cohort.

    Args:
        folder: the store's own folder.
        cases: whose volumes; each needs an attention map.
        attention_dir: the attention maps.
        table: the label table.
        grid: where queries are cut.
        workers: cases built at once; None for as many as there are cores, at most 4.
        whole: False: a part of a cohort, which may hold nothing to query.
        channels: C of the images.

    Attributes:
        index: (Q, 7) integers, a query a row, columns ``COLUMNS``: numbers of case and patient, object 1..K, cluster,
            first voxel of the patch.
        built: ids of the cases that had to be built.

    Raises:
        SemclError: when attention is missing or empty everywhere, or ``folder`` holds something else.
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
        self.cases = [case.id for case in cases]
        ranks.first_alone(self._claim)
        notes = ranks.gathered({case.id: self._note(case) for case in ranks.own(cases)})
        self.notes = {case: note for part in notes for case, note in part.items()}
        self.built = [case.id for case in cases if not self.notes[case.id]]
        missing = set(self.built)
        self._build(ranks.own([case for case in cases if case.id in missing]), workers)
        built = {case: self.notes[case] for case in self.built if self.notes[case]}
        self.notes |= {case: note for part in ranks.gathered(built) for case, note in part.items()}
        self.index = self._index(cases)
        if whole and not len(self.index):
            raise SemclError(
                "there is nothing to query",
                found=f"attention maps in {attention_dir} that are all empty",
                expected="at least one organ in one case",
                remedy="train the coarse network longer, or give other attention maps",
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
        """The same store for other cases, built as far as they are missing."""
        return QueryStore(str(self.folder), cases, self.attention_dir, self.table, self.grid, channels=self.channels)

    @property
    def slices(self) -> NDArray[np.integer]:
        """Number (Q,) of the slice each query is cut from, or of the scan where queries are cubes."""
        place = self.index[:, [0, 6]] if self.grid.spatial_dims == 2 else self.index[:, [0]]
        return np.unique(place, axis=0, return_inverse=True)[1].ravel()

    def _claim(self) -> None:
        """Mark the folder as a query store, unless it is something else."""
        mark = self.folder / "store.json"
        try:
            if dict(json.loads(mark.read_text())).get("format") == FORMAT:
                return
        except DAMAGE:
            pass
        if self.folder.is_dir() and any(not path.name.endswith(".store.json") for path in self.folder.iterdir()):
            raise SemclError(
                "the folder of the query store holds something else",
                found=f"files in {self.folder}, but no store.json that says {FORMAT!r}",
                expected="a folder of its own",
                remedy="point --store_dir at a new folder, or remove this one if it is an older store",
            )
        write_text(mark, json.dumps({"format": FORMAT, "columns": COLUMNS}, indent=1))

    def _key(self, case: Case) -> str:
        """Of everything a case's files are made of."""
        files = [case.image, case.label, attention_path(self.attention_dir, case.id)]
        stamps = [_stamp(path) for path in files if path is not None]
        made_of = [self.grid.settings(), self.table.digest(), self.channels, stamps]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]

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

    def _build(self, cases: Sequence[Case], workers: int | None) -> None:
        if not cases:
            return
        count = min(os.cpu_count() or 1, MOST_WORKERS) if workers is None else max(workers, 1)
        with ThreadPoolExecutor(count) as pool:
            building = {pool.submit(self._build_case, case): case.id for case in cases}
            try:
                for done in tqdm(
                    as_completed(building),
                    total=len(cases),
                    desc="query store",
                    unit="case",
                    disable=ranks.number() > 0,
                ):
                    self.notes[building[done]] = done.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _build_case(self, case: Case) -> dict[str, Any]:
        key = self._key(case)  # first: a file changed meanwhile then has another
        image = read(case.image, case.id, self.channels)
        coarse = read_attention(attention_path(self.attention_dir, case.id), image, case.id, self.table)
        attention = self._stored(self.grid.attention(coarse, image))
        arrays = {
            "image": _slices_first(self.grid.image(image).numpy().astype(np.float16)),
            "attention": _slices_first(attention),
            "queries": self.grid.queries(attention),
        }
        if case.label is not None:
            target = self.grid.objects(torch.from_numpy(read_label(case, image, self.table)), image)
            arrays["target"] = _slices_first(self._stored(target))
        files = {name: _write(self.folder / case.id / f"{name}.npy", array) for name, array in arrays.items()}
        note = {"key": key, "files": files}
        write_text(self.folder / case.id / "case.json", json.dumps(note, indent=1))
        return note

    def _stored(self, objects: torch.Tensor) -> NDArray[Any]:
        """Object numbers in as few bytes as they need."""
        on_grid = objects.numpy()
        return on_grid.astype(np.int8) if len(self.table) < 128 else on_grid

    def _index(self, cases: Sequence[Case]) -> NDArray[np.int32]:
        patients = {patient: number for number, patient in enumerate(sorted({case.patient for case in cases}))}
        parts = [np.empty((0, len(COLUMNS)), np.int32)]
        for number, case in enumerate(cases):
            queries = self._map(case.id, "queries")
            phase = self.table.phase_number(case.phase, case.id)
            cluster = [self.table.cluster(int(organ), phase) for organ in queries[:, 0]]
            fixed = np.tile(np.array([number, patients[case.patient]], np.int32), (len(queries), 1))
            parts.append(np.column_stack([fixed, queries[:, 0], np.array(cluster, np.int32), queries[:, 1:]]))
        return np.concatenate(parts)

    def _map(self, case: str, name: str) -> NDArray[Any]:
        """An array of a case, mapped copy-on-write: nothing is written, and torch takes it.

        A file deleted after this stays there as long as it is mapped.

        Raises:
            SemclError: when it is gone or of another size than it was.
        """
        file = self.notes[case]["files"][name]
        if not file["shape"][0]:
            return np.empty(file["shape"], file["dtype"])
        path = self.folder / case / f"{name}.npy"
        size = path.stat().st_size if path.is_file() else None
        if size != file["size"]:  # looked at before each read: touching what a mapped file has lost is fatal
            raise SemclError(
                "the query store was changed while it was in use",
                case=case,
                found=f"no {path}" if size is None else f"{path} of {size} bytes",
                expected=f"the {file['size']} bytes that were there at the start",
                remedy="let no other run write to this --store_dir, then go on with --resume True: it is built again",
            )
        return np.memmap(path, file["dtype"], "c", file["offset"], tuple(file["shape"]))

    def volume(self, case: int, name: str) -> torch.Tensor:
        """A volume of a case by number, mapped from its file: "image" (C, X, Y, Z), "attention" or "target" (X, Y, Z).

        Raises:
            SemclError: when the case has no target, or its file is not as it was.
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


def _stamp(path: Path) -> list[Any]:
    """By what another file is told; a missing one is for its reader to name."""
    stat = path.stat() if path.exists() else None
    return [path.name, stat and stat.st_size, stat and stat.st_mtime_ns]


def _slices_first(volume: NDArray[Any]) -> NDArray[Any]:
    """(..., X, Y, Z) as (Z, ..., X, Y), so that an axial patch lies in few pages of the file."""
    return np.ascontiguousarray(np.moveaxis(volume, -1, 0))


def _write(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    """Write an array and say what its file must look like."""
    with written_whole(path) as aside:
        np.save(aside, array)
    stat = path.stat()
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.str,
        "offset": stat.st_size - array.nbytes,
        "size": stat.st_size,
        "modified": stat.st_mtime_ns,
        "checksum": checksum(path),
    }


def _whole(path: Path, file: Mapping[str, Any]) -> bool:
    """Whether a file is as it was written; its content is read only where its time is another (a copied store)."""
    if not path.is_file() or path.stat().st_size != file["size"]:
        return False
    return bool(path.stat().st_mtime_ns == file["modified"]) or checksum(path) == file["checksum"]
