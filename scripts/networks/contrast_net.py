"""The network of pretraining: encoder, pooling and cluster head."""

from __future__ import annotations

import torch
from torch import nn

from .cluster_head import ClusterHead
from .encoder import QueryEncoder, check_encoder, freeze_unread
from .pooling import PatchPooling, Pooling


class ContrastNet(nn.Module):
    """Encoder, pooling and cluster head: inputs of ``PrepareViews`` -> unit embeddings (R*B, D).

    Inputs are (B, C + M, P, P[, P]): the C channels of the encoder (image and attention), then the M masks that the
    pooling needs. Embeddings come region by region: those of all queries for the first, then for the second.

    Args:
        encoder: the encoder.
        embedding: D, length of the embeddings.
        pooling: from feature maps to vectors; by default the mean over the whole patch.

    Raises:
        SemclError: when ``encoder`` is not an encoder (``check_encoder``).
    """

    def __init__(self, encoder: QueryEncoder, embedding: int = 256, pooling: Pooling | None = None) -> None:
        super().__init__()
        check_encoder(encoder)
        self.encoder = encoder
        self.pooling = pooling or PatchPooling()
        freeze_unread(encoder, self.pooling.read(len(encoder.channels)))
        self.head = ClusterHead(self.pooling.width(encoder.channels), embedding)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of the inputs, as above."""
        seen = inputs.shape[1] - self.pooling.masks
        masks = list(torch.split(inputs[:, seen:], 1, dim=1))
        embeddings: torch.Tensor = self.head(self.pooling(self.encoder(inputs[:, :seen]), masks))
        return embeddings
