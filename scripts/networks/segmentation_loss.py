"""Segmentation losses that leave ignored voxels out."""

from __future__ import annotations

import torch
from torch import nn

FAR = 30.0  # logit at which a voxel adds 1e-13 to a loss


class IgnoringLoss(nn.Module):
    """A segmentation loss to which ignored voxels, -1 in the label, contribute neither value nor gradient.

    There the network is taken to be certain of background, and background to be correct. A loss that averages over
    voxels still counts them, and Dice over several classes counts them as background that was found.

    Args:
        loss: of logits (B, C, ...) and labels (B, 1, ...), such as MONAI's DiceCELoss. Background is a low logit where
            there is a single channel, else the first channel.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) and labels (B, 1, ...): object numbers, 0 for background, -1 for ignored."""
        certain = logits.new_zeros(logits.shape[1], *[1] * (logits.ndim - 2))
        certain[0] = -FAR if logits.shape[1] == 1 else FAR
        loss: torch.Tensor = self.loss(torch.where(label >= 0, logits, certain), label.clamp_min(0))
        return loss
