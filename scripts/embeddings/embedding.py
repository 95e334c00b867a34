"""The embed stage: encoders before and after pretraining, their maps and neighbours, and whether they collapsed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.metrics import EmbeddingCollapseMetric
from numpy.typing import NDArray
from torch import nn

from .. import ranks
from ..cohort.case import Case, input_files
from ..errors import SemclError
from ..files import write_text, written_whole
from ..networks.pooling import Pooling
from ..outputs import Output
from ..printable import counted
from ..queries.dataset import QueryDataset
from ..queries.store import QueryStore
from .neighbours import Neighbours, chance, nearest
from .retrieval import neighbour_sheet, pictured_queries, write_neighbours
from .table import LABELS, Embeddings, embed_queries, sample_queries

RECALLS = (1, 5, 10)
SILHOUETTE_QUERIES = 5000  # queries in a silhouette at most, since it compares every pair
TITLES = {"organ": "organ", "phase": "phase", "cluster": "organ x phase"}
FIXED = ("summary.json", "queries.csv", "neighbours.csv", "neighbours.png")  # files that are there whatever is embedded
Measure = dict[str, Any]


class Embedding:
    """Embeds queries with several encoders and measures how the embeddings are distributed.

    Args:
        store: the store of the queries.
        cases: the store's cases.
        encoders: name -> encoder, in the order they are shown, None for one that there is not; the last one's
            neighbours are pictured.
        output_dir: where embeddings/ is written.
        device: where the encoders run.
        pooling: of the encoders' feature maps, as in pretraining.
        batch_size: queries per forward pass.
        num_workers: processes that read the queries; 0 reads in this one.
        show_attention: False hides the attention masks from the encoders.
        queries_per_organ: the most queries per organ and case.
        neighbours: how many neighbours of each query count for purity and are pictured.
        perplexity: of t-SNE.
        map_points: the most queries on the maps, sampled at random.
        seed: of the maps.
        organ: the only organ whose neighbours are pictured; empty for every organ.
        case: the case whose queries are pictured; empty for the first that has the organ.
    """

    def __init__(
        self,
        store: QueryStore,
        cases: Sequence[Case],
        encoders: Mapping[str, nn.Module | None],
        output_dir: str,
        device: torch.device,
        pooling: Pooling,
        batch_size: int = 64,
        num_workers: int = 0,
        show_attention: bool = True,
        queries_per_organ: int = 4,
        neighbours: int = 10,
        perplexity: float = 30,
        map_points: int = 3000,
        seed: int = 0,
        organ: str = "",
        case: str = "",
    ) -> None:
        self.store, self.cases = store, list(cases)
        self.encoders = {name: encoder for name, encoder in encoders.items() if encoder is not None}
        self.folder, self.device = Path(output_dir) / "embeddings", device
        self.batch_size, self.num_workers = batch_size, num_workers
        self.show_attention, self.pooling = show_attention, pooling
        self.queries_per_organ, self.neighbours = queries_per_organ, neighbours
        self.perplexity, self.map_points, self.seed = perplexity, map_points, seed
        self.organ, self.case = organ or None, case or None

    def run(self) -> None:
        """Embed, measure, plot and write; all ranks embed, the first does the rest.

        Raises:
            SemclError: when there is only one patient, or no query of the requested organ or case.
        """
        output = Output(self.folder, "embeddings", "--output_dir")
        ranks.first_alone(lambda: output.check(input_files(self.cases)))
        queries = sample_queries(self.store, self.queries_per_organ)
        self._check(queries)
        index = self.store.index[queries]
        organs, cases = np.array(self.store.table.names)[index[:, 2] - 1], np.array(self.store.cases)[index[:, 0]]
        pictured = pictured_queries(organs, cases, self.organ, self.case)
        found = {name: self.embed(name, encoder, queries) for name, encoder in self.encoders.items()}
        if ranks.number():
            return
        last = list(found)[-1]
        near = {name: nearest(embeddings, max(self.neighbours, *RECALLS)) for name, embeddings in found.items()}
        measures = embedding_measures(found, near, self.neighbours)
        figures = self.maps(found)
        output.claim(input_files(self.cases))
        for name, embeddings in found.items():
            embeddings.write(self.folder, name)
        write_neighbours(self.folder / "neighbours.csv", near[last])
        with written_whole(self.folder / "neighbours.png") as aside:
            aside.write_bytes(neighbour_sheet(near[last], pictured, self.store, self.neighbours))
        for name, figure in figures.items():
            write_text(self.folder / f"{name}.svg", figure)
        headline = self.headline(measures, found[last])
        content = {
            "headline": headline,
            "encoders": [*found, "chance"],
            "queries": len(queries),
            "measures": measures,
            "figures": list(figures),
        }
        write_text(self.folder / "summary.json", json.dumps(content, indent=1))
        output.keep_only([*FIXED, *(f"{name}.npy" for name in found), *(f"{name}.svg" for name in figures)])
        print(headline)
        print(f"maps and neighbours: {self.folder}")

    def _check(self, queries: NDArray[np.int64]) -> None:
        patients = len(set(self.store.patients[queries].tolist()))
        if patients < 2:
            raise SemclError(
                "neighbours are searched among other patients",
                found=f"queries of {patients} patient",
                expected="at least two patients",
                remedy="set section to all, or prepare the cohort with more testing patients",
            )
        for name, value, least in (("map_points", self.map_points, 2), ("neighbours", self.neighbours, 1)):
            if value < least:
                raise SemclError(
                    f"{name} is too small", found=f"{name} {value}", expected=f"{least} or more", remedy=f"raise {name}"
                )

    def embed(self, name: str, encoder: nn.Module, queries: NDArray[np.int64]) -> Embeddings:
        """The queries embedded with one encoder."""
        patients = [case.patient for case in self.cases]
        phases = [case.phase for case in self.cases]
        return embed_queries(
            QueryDataset(self.store),
            patients,
            phases,
            encoder,
            queries,
            self.device,
            self.batch_size,
            f"embed, {name}",
            self.pooling,
            self.show_attention,
            self.num_workers,
        )

    def maps(self, found: Mapping[str, Embeddings]) -> dict[str, str]:
        """Name -> map as SVG."""
        from .maps import coordinates, map_figure  # scikit-learn takes seconds to import

        count = len(next(iter(found.values())))
        sample = np.sort(np.random.default_rng(self.seed).permutation(count)[: self.map_points])
        sampled = {name: embeddings[sample] for name, embeddings in found.items()}
        maps = {name: coordinates(embeddings, self.perplexity, self.seed) for name, embeddings in sampled.items()}
        first = next(iter(sampled.values()))
        names = {"organ": self.store.table.names, "phase": self.store.table.phases}
        return {f"map_by_{label}": map_figure(maps, first, label, names[label]) for label in names}

    def headline(self, measures: Sequence[Measure], embeddings: Embeddings) -> str:
        """The result in one sentence."""
        purity = next(measure for measure in measures if measure["title"] == purity_title("organ", self.neighbours))
        values = ", ".join(f"{value:.2f} {name}" for name, value in zip(self.encoders, purity["found"], strict=False))
        count, patients = len(embeddings), len(set(embeddings.patients))
        learnt = {case.patient for case in self.cases if case.fold is not None} & set(embeddings.patients)
        seen = f", {len(learnt)} of whom pretraining has seen" if learnt else ""
        return (
            f"Of the {self.neighbours} nearest queries of other patients this share shows the same organ: {values} "
            f"({purity['found'][-1]:.2f} by chance; {count} queries of {counted(patients, 'patient')}{seen})."
        )


def purity_title(label: str, neighbours: int) -> str:
    """The title of purity in tables."""
    return f"same {TITLES[label]} among the {neighbours} nearest of other patients"


def embedding_measures(
    found: Mapping[str, Embeddings], near: Mapping[str, Neighbours], neighbours: int
) -> list[Measure]:
    """Measures of each encoder and, where it is defined, the value expected by chance.

    Purity and recall across patients, silhouette (cosine, -1 to 1), and MONAI's indicators of collapse (0 to 1, higher
    is more collapsed).
    """
    first = next(iter(found.values()))
    lines: list[Measure] = []
    values: Sequence[float | None]
    for label in LABELS:
        values = [_first(each, neighbours).purity(label) for each in near.values()]
        lines.append({"title": purity_title(label, neighbours), "found": [*values, chance(first, label)]})
    for count in RECALLS:
        values = [each.recall("organ", count) for each in near.values()]
        lines.append({"title": f"same organ at least once among the {count} nearest", "found": [*values, None]})
    for label in LABELS:
        values = [_silhouette(embeddings, label) for embeddings in found.values()]
        lines.append({"title": f"silhouette by {TITLES[label]}", "found": [*values, 0.0]})
    collapse = EmbeddingCollapseMetric(include_indicators=["centroid_similarity", "effective_rank"])
    numbers = torch.from_numpy(np.unique(first.label("cluster"), return_inverse=True)[1])
    scores = [collapse(embeddings.vectors.cpu(), labels=numbers) for embeddings in found.values()]
    for key, title in {
        "centroid_similarity": "collapse: similarity of the clusters' centroids",
        "effective_rank_score": "collapse: effective rank",
    }.items():
        lines.append({"title": title, "found": [*(_number(score.get(key)) for score in scores), None]})
    return lines


def _first(near: Neighbours, count: int) -> Neighbours:
    return Neighbours(near.embeddings, near.index[:, :count], near.similarity[:, :count])


def _silhouette(embeddings: Embeddings, label: str) -> float | None:
    """The silhouette by a label; None where there is one label, or as many labels as queries."""
    from sklearn.metrics import silhouette_score

    labels = embeddings.label(label)
    if not 2 <= len(set(labels)) < len(labels):
        return None
    sample = np.random.default_rng(0).permutation(len(labels))[:SILHOUETTE_QUERIES]
    if len(set(labels[sample])) < 2:
        return None
    return float(silhouette_score(embeddings.vectors.cpu().numpy()[sample], labels[sample], metric="cosine"))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
