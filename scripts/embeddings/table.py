"""Embeddings: the vectors an encoder gives the queries of a store, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Subset

from .. import ranks
from ..bars import bar
from ..files import write_csv, written_whole
from ..networks.pooling import Pooling
from ..queries.dataset import QueryDataset
from ..queries.store import QueryStore

EMBEDDING_COLUMNS = ("query", "case", "patient", "organ", "phase", "x", "y", "z")
LABELS = ("organ", "phase", "cluster")


@dataclass(frozen=True)
class Embeddings:
    """Queries and their vectors.

    Args:
        queries: (Q,) their numbers in the store.
        cases: (Q,) case ids.
        patients: (Q,) patient ids.
        organs: (Q,) organ names.
        phases: (Q,) phase names.
        starts: (Q, 3) first voxels of the patches.
        vectors: (Q, D) vectors of unit length, float32.
    """

    queries: NDArray[np.int64]
    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    organs: NDArray[np.str_]
    phases: NDArray[np.str_]
    starts: NDArray[np.int64]
    vectors: torch.Tensor

    def __len__(self) -> int:
        return len(self.queries)

    def label(self, name: str) -> NDArray[np.str_]:
        """(Q,) labels: "organ", "phase", or "cluster" for both together."""
        if name == "cluster":
            return np.char.add(np.char.add(self.organs, " x "), self.phases)
        labels: NDArray[np.str_] = {"organ": self.organs, "phase": self.phases}[name]
        return labels

    def __getitem__(self, chosen: NDArray[np.integer]) -> Embeddings:
        """Some of the queries."""
        columns = {
            name: getattr(self, name)[chosen] for name in ("queries", "cases", "patients", "organs", "phases", "starts")
        }
        return replace(self, **columns, vectors=self.vectors[torch.from_numpy(chosen).to(self.vectors.device)])

    def write(self, folder: Path, name: str) -> None:
        """Write ``folder``/queries.csv, one line per query, and ``folder``/<name>.npy, their vectors in that order."""
        names = zip(self.queries.tolist(), self.cases, self.patients, self.organs, self.phases, strict=True)
        lines = ([*line, *start] for line, start in zip(names, self.starts.tolist(), strict=True))
        write_csv(folder / "queries.csv", [EMBEDDING_COLUMNS, *lines])
        with written_whole(folder / f"{name}.npy") as aside:
            np.save(aside, self.vectors.cpu().numpy())


def sample_queries(store: QueryStore, each: int) -> NDArray[np.int64]:
    """Numbers of at most ``each`` queries per organ and case, evenly spread over its slices."""
    keys = store.index[:, [0, 2]]
    borders = np.flatnonzero((np.diff(keys, axis=0) != 0).any(1)) + 1
    chosen = []
    for group in np.split(np.arange(len(keys)), borders):
        middles = (np.arange(min(each, len(group))) + 0.5) * len(group) / min(each, len(group))
        chosen.append(group[middles.astype(int)])
    return np.concatenate(chosen)


def embed_queries(
    dataset: QueryDataset,
    patients: Sequence[str],
    phases: Sequence[str],
    encoder: nn.Module,
    queries: NDArray[np.int64],
    device: torch.device,
    batch_size: int,
    title: str,
    pooling: Pooling,
    show_attention: bool = True,
    num_workers: int = 0,
) -> Embeddings:
    """The encoder's feature maps of each query, pooled to a unit vector; ranks share the queries.

    Args:
        dataset: the queries of a store.
        patients: the patient of each of the store's cases.
        phases: the phase of each of the store's cases.
        encoder: returns feature maps.
        queries: numbers of the queries.
        device: where the encoder runs.
        batch_size: queries per forward pass.
        title: of the progress bar.
        pooling: of the feature maps, as in pretraining.
        show_attention: False hides the attention mask from the encoder.
        num_workers: processes that read the queries; 0 reads in this one.
    """
    store, chosen = dataset.store, Subset(dataset, ranks.own(queries.tolist()))
    encoder = encoder.to(device).eval()
    found: list[torch.Tensor] = []
    with torch.no_grad():
        pinned = device.type == "cuda"
        loader = DataLoader(chosen, batch_size, num_workers=num_workers, pin_memory=pinned)
        for batch in bar(loader, total=len(loader), title=title, unit="step", hidden=ranks.number() > 0):
            image, attention = (batch[key].to(device, non_blocking=pinned) for key in ("image", "attention"))
            maps = encoder(torch.cat([image, attention * show_attention], 1))
            pooled = pooling.describe(maps, attention).float()
            found += nn.functional.normalize(pooled, dim=1)
    if ranks.count() > 1:
        of_ranks = ranks.gathered([vector.cpu() for vector in found])
        found = [vector.to(device) for vector in ranks.interleaved(of_ranks)]
    index = store.index[queries]
    return Embeddings(
        queries=queries,
        cases=np.array(store.cases)[index[:, 0]],
        patients=np.array(patients)[index[:, 0]],
        organs=np.array(store.table.names)[index[:, 2] - 1],
        phases=np.array(phases)[index[:, 0]],
        starts=index[:, 4:].astype(np.int64),
        vectors=torch.stack(found),
    )
