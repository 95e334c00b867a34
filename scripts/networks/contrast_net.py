"""What is pretrained: the encoder and the cluster head, and between them what makes vectors of feature maps."""

from __future__ import annotations

import torch
from torch import nn

from .cluster_head import ClusterHead
from .encoder import QueryEncoder, check_encoder
from .pooling import PatchPooling, Pooling


class ContrastNet(nn.Module):
    """Encoder, pooling and cluster head. Inputs of ``PrepareViews`` -> unit embeddings (R*B, D).

    Inputs are (B, C + R', P, P[, P]): the C channels of the encoder (image and attention), then the R' masks that the
    pooling asks for. Embeddings are those of all queries for the first region, then for the second.

    Args:
        encoder: the encoder.
        embedding: D.
        pooling: from feature maps to vectors; the mean over the whole patch unless given.

    Raises:
        SemclError: when ``encoder`` is none (``check_encoder``).
    """

    def __init__(self, encoder: QueryEncoder, embedding: int = 256, pooling: Pooling | None = None) -> None:
        super().__init__()
        check_encoder(encoder)
        self.encoder = encoder
        self.pooling = pooling or PatchPooling()
        self.head = ClusterHead(self.pooling.width(encoder.channels), embedding)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of inputs, as above."""
        seen = inputs.shape[1] - self.pooling.masks
        masks = list(torch.split(inputs[:, seen:], 1, dim=1))
        embeddings: torch.Tensor = self.head(self.pooling(self.encoder(inputs[:, :seen]), masks))
        return embeddings
