"""The probe that validates pretraining: do the nearest queries of other patients show the same organ and phase?"""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.metrics import CumulativeIterationMetric
from torch.nn import functional

from ..networks.pooling import PatchPooling, Pooling


class PrepareProbe(PrepareBatch):
    """Prepare batches of the probe: queries as they are (B, C + 1, P, P[, P]), and their numbers and clusters (B, 2).

    Args:
        pooling: of the network; masks that it needs come as further channels, and rows are then those of its vectors.
        show_attention: False hides the attention from the encoder, as in pretraining; regions are still those of it.
    """

    def __init__(self, pooling: Pooling | None = None, show_attention: bool = True) -> None:
        self.pooling, self.show_attention = pooling or PatchPooling(), show_attention

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask, query, cluster = (
            batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "attention", "query", "cluster")
        )
        labels = self.pooling.labels(cluster)
        rows = torch.stack([query.repeat(len(labels) // len(query)), labels], dim=1)
        return torch.cat([image, mask * self.show_attention, *self.pooling.regions(mask)], dim=1), rows


class NeighbourAccuracy(CumulativeIterationMetric):
    """Metric: the share of queries whose nearest ones of other patients are mostly of their own cluster.

    Embeddings of surroundings, whose cluster is negative, neither count nor vote. Queries whose cluster no other
    patient has are left out; without any others the value is 0.

    Args:
        patients: patient of each query.
        neighbours: how many vote.
    """

    def __init__(self, patients: Any, neighbours: int = 5) -> None:
        super().__init__()
        self.patients, self.neighbours = torch.as_tensor(patients), neighbours

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any) -> Any:
        return y_pred.float().clone(), y  # the network may write its next output to the same place

    def aggregate(self) -> torch.Tensor:
        """The accuracy, a scalar, over all batches since the last reset."""
        embeddings, rows = self.get_buffer()  # type: ignore[no-untyped-call]  # MONAI's
        objects = rows[:, 1] >= 0
        embeddings, rows = embeddings[objects], rows[objects]
        vectors, cluster = functional.normalize(embeddings), rows[:, 1]
        patient = self.patients.to(rows.device)[rows[:, 0]]
        other = patient[:, None] != patient[None]
        alike = (cluster[:, None] == cluster[None]) & other
        findable = alike.any(1)
        cosines = (vectors @ vectors.T).masked_fill(~other, -torch.inf)
        near = cosines.topk(min(self.neighbours, len(vectors)), dim=1).indices
        voters = other.gather(1, near)
        nobody = torch.iinfo(cluster.dtype).max - torch.arange(near.shape[1], device=near.device)  # each a class alone
        winners = torch.where(voters, cluster[near], nobody).mode(1).values
        right = (winners == cluster)[findable].float()
        accuracy: torch.Tensor = right.mean() if len(right) else right.sum()
        return accuracy
