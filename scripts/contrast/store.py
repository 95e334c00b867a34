"""The query store: each volume decoded once onto the query grid, as flat arrays opened by memory map."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from tqdm import tqdm

from ..cohort.attention import attention_path, require_attention
from ..cohort.datalist import Case, read_label
from ..cohort.labels import LabelTable
from ..cohort.volume import read, read_objects
from ..errors import SemclError
from ..files import write_text, written_whole
from .query import AIR, QueryGrid

COLUMNS = ("case", "patient", "object", "cluster", "x", "y", "z")


class QueryStore:
    """Volumes and queries of a list of cases, opened, or built when there is none or anything it was made of changed.

    Args:
        folder: the store's own folder.
        cases: whose volumes; each needs an attention map.
        attention_dir: the attention maps.
        table: the label table.
        grid: where queries are cut.

    Attributes:
        index: (Q, 7) integers, a query a row, columns ``COLUMNS``: numbers of case and patient, object 1..K, cluster,
            first voxel of the patch.
    """

    def __init__(
        self, folder: str, cases: Sequence[Case], attention_dir: str, table: LabelTable, grid: QueryGrid
    ) -> None:
        require_attention(cases, attention_dir)
        self.folder, self.grid = Path(folder), grid
        self.cases = [case.case for case in cases]
        key = self._key(cases, attention_dir, table)
        note = self.folder / "store.json"
        if not note.is_file() or json.loads(note.read_text()).get("key") != key:
            self._build(cases, attention_dir, table, key)
        self.index: NDArray[np.int32] = np.load(self.folder / "index.npy")
        if not len(self.index):
            raise SemclError(
                "there is nothing to query",
                found=f"attention maps in {attention_dir} that are all empty",
                expected="at least one organ in one case",
                remedy="train the coarse network longer, or give other attention maps",
            )
        self.volumes: dict[tuple[int, str], torch.Tensor] = {}

    def _key(self, cases: Sequence[Case], attention_dir: str, table: LabelTable) -> str:
        files = [
            path
            for case in cases
            for path in (case.image, case.label, attention_path(attention_dir, case.case))
            if path is not None
        ]
        stamps = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
        people = [[case.case, case.patient, case.phase] for case in cases]
        made_of = [self.grid.settings(), table.digest(), people, stamps]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]

    def _build(self, cases: Sequence[Case], attention_dir: str, table: LabelTable, key: str) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        patients = {patient: number for number, patient in enumerate(sorted({case.patient for case in cases}))}
        rows = []
        for number, case in enumerate(tqdm(cases, desc="query store", unit="case")):
            image = read(case.image, case.case)
            coarse = read_objects(attention_path(attention_dir, case.case), image, case.case, table)
            attention = self._objects(coarse, image)
            self._write(number, "image", self.grid.image(image).numpy().astype(np.float16))
            self._write(number, "attention", attention)
            if case.label is not None:
                self._write(number, "target", self._objects(read_label(case, image, table), image))
            phase = table.phase_number(case.phase, case.case)
            rows += [
                (number, patients[case.patient], query[0], table.cluster(query[0], phase), *query[1:])
                for query in self.grid.queries(attention).tolist()
            ]
        with written_whole(self.folder / "index.npy") as aside:
            np.save(aside, np.array(rows, np.int32).reshape(-1, len(COLUMNS)))
        note = {"key": key, "cases": self.cases, "columns": COLUMNS, "grid": self.grid.settings()}
        write_text(self.folder / "store.json", json.dumps(note, indent=1))  # last: it says the store is whole

    def _objects(self, objects: NDArray[np.uint16], image: Any) -> NDArray[np.int16]:
        on_grid: NDArray[np.int16] = self.grid.objects(torch.from_numpy(objects.astype(np.int16)), image).numpy()
        return on_grid

    def _path(self, case: int, name: str) -> Path:
        return self.folder / self.cases[case] / f"{name}.npy"

    def _write(self, case: int, name: str, array: NDArray[Any]) -> None:
        with written_whole(self._path(case, name)) as aside:
            np.save(aside, array)

    def volume(self, case: int, name: str) -> torch.Tensor:
        """A volume (X, Y, Z) of a case by number: "image", "attention" or "target", memory-mapped.

        Raises:
            SemclError: when the case has no target.
        """
        if (case, name) not in self.volumes:
            if not self._path(case, name).is_file():
                raise SemclError(
                    f"the query store has no {name} of a case",
                    case=self.cases[case],
                    found=f"no {self._path(case, name)}",
                    expected="a case with a label map: this stage learns from it",
                    remedy="add the label map and run `python -m scripts prepare` again, or leave the case out",
                )
            mapped = np.load(self._path(case, name), mmap_mode="c")  # never written; torch refuses read-only memory
            self.volumes[case, name] = torch.from_numpy(mapped)
        return self.volumes[case, name]


class QueryDataset(Dataset[dict[str, Any]]):
    """Queries of a store as samples: image and attention, with ``target`` also the label, each (1, P, P[, P]).

    Args:
        store: the query store.
        target: give the target mask too.
        margin: voxels more at each side of a patch, for views to move into.
    """

    def __init__(self, store: QueryStore, target: bool = False, margin: int = 0) -> None:
        self.store, self.target, self.margin = store, target, margin

    def __len__(self) -> int:
        return len(self.store.index)

    def __getitem__(self, item: int) -> dict[str, Any]:
        case, _, number, cluster, *start = self.store.index[item].tolist()
        grid = self.store.grid
        patch = grid.cut(self.store.volume(case, "image"), start, self.margin, AIR)
        sample: dict[str, Any] = {"image": patch.float()[None], "cluster": cluster}
        for name in ("attention", "target") if self.target else ("attention",):
            mask = grid.cut(self.store.volume(case, name), start, self.margin) == number
            sample[name] = mask.float()[None]
        return sample
