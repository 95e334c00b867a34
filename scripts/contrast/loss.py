"""The semantic contrastive loss: queries of one cluster pulled together, all others pushed apart."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ..errors import SemclError


class SemanticContrastiveLoss(nn.Module):
    r"""Supervised contrastive loss over all views of a batch, the class being any integer label.

    .. math:: L = \frac1{|I|} \sum_{i \in I} -\frac1{|P(i)|} \sum_{p \in P(i)}
        \left[ z_i z_p/\tau - \log \sum_{a \ne i} e^{z_i z_a/\tau} \right]

    z are the embeddings brought to unit length, P(i) the others of i's label, I the anchors for which P(i) is not
    empty; without any the loss is 0 with zero gradient. A label for each organ x phase gives the paper's loss
    (arXiv 2106.01596), each query its own SimCLR's, the phase alone scan-level SupCon's (arXiv 2004.11362, "out").

    Similarities and their log-sum-exp are computed in float32 (float64 for float64 input) also under autocast.

    Args:
        temperature: tau, above 0.

    Raises:
        SemclError: for a temperature that is not a positive number.

    Example:
        >>> embeddings = torch.eye(4)
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(SemanticContrastiveLoss(0.07)(embeddings, labels).item(), 4)
        1.0986
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not (math.isfinite(temperature) and temperature > 0):
            raise SemclError(
                "bad temperature", found=temperature, expected="a number above 0", remedy="set it to 0.1, say"
            )
        self.temperature = temperature

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar.

        Args:
            embeddings: (N, D), or (B, V, D) for V views of each of B queries; any length but 0 (they are normalised).
            labels: integers (N,), or (B,) with (B, V, D).

        Raises:
            SemclError: for shapes or dtypes that do not fit.
        """
        vectors, labels = self._flat(embeddings, labels)
        with torch.autocast(vectors.device.type, enabled=False):
            return self._loss(vectors, labels)

    def _loss(self, vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        exact = vectors.double() if vectors.dtype == torch.float64 else vectors.float()
        unit = functional.normalize(exact, dim=1)
        count = len(unit)
        logits = unit @ unit.T / self.temperature
        same = labels[:, None] == labels[None, :]
        others = ~torch.eye(count, dtype=torch.bool, device=unit.device)
        positives = same & others
        members = positives.sum(1)
        normaliser = torch.logsumexp(logits.masked_fill(~others, -torch.inf), dim=1) if count > 1 else logits.sum(1) * 0
        attraction = (logits * positives).sum(1) / members.clamp_min(1)
        anchors = members > 0
        per_anchor = torch.where(anchors, normaliser - attraction, torch.zeros_like(attraction))
        return per_anchor.sum() / anchors.sum().clamp_min(1)

    @staticmethod
    def _flat(embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if embeddings.ndim not in (2, 3) or not embeddings.is_floating_point():
            raise SemclError(
                "embeddings cannot be compared",
                found=f"{embeddings.dtype} of shape {tuple(embeddings.shape)}",
                expected="floating point, (N, D) or (B, V, D)",
                remedy="pass the cluster head's output",
            )
        if labels.shape != embeddings.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
            raise SemclError(
                "labels do not fit the embeddings",
                found=f"{labels.dtype} of shape {tuple(labels.shape)} for embeddings {tuple(embeddings.shape)}",
                expected=f"integers of shape ({len(embeddings)},)",
                remedy="pass one cluster label for each query",
            )
        if embeddings.ndim == 3:
            labels = labels.repeat_interleave(embeddings.shape[1])
            embeddings = embeddings.flatten(0, 1)
        return embeddings, labels
