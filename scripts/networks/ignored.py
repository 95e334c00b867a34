"""Voxels that count neither for nor against anything: left out of losses and of measures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

FAR = 30.0  # logit at which a voxel adds 1e-13 to a loss


class IgnoringLoss(nn.Module):
    """A segmentation loss to which ignored voxels, -1 in the label, add nothing: no value and no gradient.

    There the network is taken to be sure of background, and background to be right. Of a loss that averages over
    voxels they are still counted, and of Dice over several classes as background that was found.

    Args:
        loss: of logits (B, C, ...) and labels (B, 1, ...), such as MONAI's DiceCELoss; of a single channel background
            is a low logit, of several the first.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) and labels (B, 1, ...): objects, 0 for background, -1 for ignored."""
        sure = logits.new_zeros(logits.shape[1], *[1] * (logits.ndim - 2))
        sure[0] = -FAR if logits.shape[1] == 1 else FAR
        loss: torch.Tensor = self.loss(torch.where(label >= 0, logits, sure), label.clamp_min(0))
        return loss


def without_ignored(drawn: NDArray[np.int16], truth: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Two maps of object numbers, of one shape, with background where the truth is ignored, and where a drawn one is.

    So voxels there count for no overlap, and surfaces end at them in both alike.
    """
    known = truth >= 0
    if not known.all():
        drawn, truth = np.where(known, drawn, 0), np.where(known, truth, 0)
    return np.maximum(drawn, 0), truth
