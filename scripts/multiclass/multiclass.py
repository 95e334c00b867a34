"""The multiclass network: encoder and decoder, which segment all organs of a slice or patch at once."""

from __future__ import annotations

import torch
from torch import nn

from ..networks.decoder import AsppDecoder
from ..networks.encoder import QueryEncoder, check_encoder, freeze_unread, read_by


class Multiclass(nn.Module):
    """Image (B, C, X, Y[, Z]) to logits (B, K + 1, X, Y[, Z]) of background and K organs.

    Args:
        encoder: sees the image alone, without an attention mask; pretrained or not.
        decoder: with K + 1 outputs.

    Raises:
        SemclError: when ``encoder`` is not an encoder (``check_encoder``).
    """

    def __init__(self, encoder: QueryEncoder, decoder: AsppDecoder) -> None:
        super().__init__()
        check_encoder(encoder)
        freeze_unread(encoder, read_by(decoder, encoder))
        self.encoder, self.decoder = encoder, decoder

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decoder(self.encoder(inputs), inputs.shape[2:])
        return logits
