"""Objects as an audit knows them: where they come from, what is wrong with them, their measures and embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..files import written_whole

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Examples:
    """N objects.

    Args:
        cases: (N,) case ids.
        patients: (N,) patients.
        phases: (N,) phases.
        organs: (N,) organ names.
        kinds: (N,) injected errors; empty for objects as they were found.
        sources: (N,) "label", "map" for objects of the audited maps, "attention" for those of attention maps.
        dice: (N,) overlap with the label map; NaN where it is not known.
        measures: (N, M) of ``MEASURES`` and, with attention maps, ``AGREEMENT``.
        contacts: (N, K + 1) shares of the surface that touch background and each organ.
        vectors: (N, Q, D) embeddings of Q queries of unit length; Q or D are 0 without an encoder.
        starts: (N, 3) middle voxels on the query grid.
    """

    cases: Texts
    patients: Texts
    phases: Texts
    organs: Texts
    kinds: Texts
    sources: Texts
    dice: NDArray[np.float64]
    measures: NDArray[np.float64]
    contacts: NDArray[np.float32]
    vectors: NDArray[np.float32]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> Examples:
        """Some of the objects."""
        return Examples(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def clean(self) -> NDArray[np.bool_]:
        """(N,) whether an object is one of a label map as it was found."""
        found: NDArray[np.bool_] = (self.kinds == "") & (self.sources == "label")
        return found

    def write(self, path: Path, key: str) -> None:
        """Write a file that ``read_examples`` reads with the same key."""
        with written_whole(path) as aside, open(aside, "wb") as file:
            np.savez(file, key=np.array(key), **{field.name: getattr(self, field.name) for field in fields(self)})


def read_examples(path: Path, key: str) -> Examples | None:
    """The objects of a file; None where there is none, or it is damaged or has another key."""
    try:
        with np.load(path) as file:
            if str(file["key"]) != key:
                return None
            return Examples(**{field.name: file[field.name] for field in fields(Examples)})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def joined(parts: Iterable[Examples]) -> Examples:
    """The objects of several tables, one after the other; at least one table."""
    tables: Sequence[Examples] = list(parts)
    return Examples(
        **{field.name: np.concatenate([getattr(part, field.name) for part in tables]) for field in fields(Examples)}
    )
