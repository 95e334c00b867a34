"""The refiner: encoder and decoder, which segment the object of a query."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import nn

from ..networks.decoder import AsppDecoder
from ..networks.encoder import QueryEncoder, check_encoder, freeze_unread, read_by
from ..queries.views import Views


class Refiner(nn.Module):
    """Query (B, 2, P, P[, P]), image and attention mask, to the logit (B, 1, P, P[, P]) of the masked object.

    Args:
        encoder: the encoder, pretrained or not.
        decoder: takes its feature maps and the output size.
        freeze_encoder: keep the encoder's weights and BatchNorm statistics fixed (the paper's frozen protocol).

    Raises:
        SemclError: when ``encoder`` is not an encoder (``check_encoder``).
    """

    def __init__(self, encoder: QueryEncoder, decoder: AsppDecoder, freeze_encoder: bool = False) -> None:
        super().__init__()
        check_encoder(encoder)
        self.encoder, self.decoder = encoder, decoder
        self.frozen = freeze_encoder
        if freeze_encoder:
            encoder.requires_grad_(False)
        else:
            freeze_unread(encoder, read_by(decoder, encoder))

    def rates(self, rate: float, encoder_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer: the decoder at ``rate``, a trainable encoder at a share of it."""
        groups = [{"params": list(self.decoder.parameters()), "lr": rate}]
        if not self.frozen:
            groups.append({"params": list(self.encoder.parameters()), "lr": rate * encoder_rate})
        return groups

    def train(self, mode: bool = True) -> Refiner:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logit: torch.Tensor = self.decoder(self.encoder(inputs), inputs.shape[2:])
        return logit


class PrepareQueries(PrepareBatch):
    """Prepare batches of fine-tuning: a view of each query (B, 2, P, P[, P]) as input, its object's mask as label.

    Without ``views`` queries are shown as they are.
    """

    def __init__(self, views: Views | None = None) -> None:
        self.views = views

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, attention, target = (
            batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "attention", "target")
        )
        masks = torch.cat([attention, target], dim=1)
        if self.views is not None:
            image, masks = self.views(image, masks)
        return torch.cat([image, masks[:, :1]], dim=1), masks[:, 1:]
