"""Segmentation losses that leave out ignored voxels, and organs that are not annotated."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

FAR = 30.0  # logit at which a voxel adds 1e-13 to a loss


class IgnoringLoss(nn.Module):
    """A segmentation loss that ignored voxels, -1 in the label, give no gradient.

    There the network is taken to be certain of background, and background to be correct. So a loss that averages over
    voxels counts them as 0, and Dice over several classes as background that was found.

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


class Target(NamedTuple):
    """What the logits of a batch are compared with: labels of its first samples, and guesses for the others.

    Args:
        label: object numbers (B, 1, ...), -1 where voxels are ignored.
        annotated: classes (B, K + 1) that are annotated; None for all.
        guessed: labels (U, 1, ...) a teacher guessed for the samples that follow.
        weight: of the loss on those.
    """

    label: torch.Tensor
    annotated: torch.Tensor | None = None
    guessed: torch.Tensor | None = None
    weight: float = 0.0


class OrganLoss(nn.Module):
    """A loss of all organs at once, of samples in which some organs may not be annotated.

    There such an organ and background are one class, the sum of both probabilities: what it is called does not matter.

    Args:
        loss: of logits (B, K + 1, ...) and labels (B, 1, ...), with softmax, such as MONAI's DiceCELoss. Ignored voxels
            are left out of it (``IgnoringLoss``).
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = IgnoringLoss(loss)

    def forward(self, logits: torch.Tensor, target: Target) -> torch.Tensor:
        """The loss of logits (B, K + 1, ...) and a target."""
        labelled, others = logits[: len(target.label)], logits[len(target.label) :]
        if target.annotated is not None:
            labelled = merge_unknown(labelled, target.annotated)
        loss: torch.Tensor = self.loss(labelled, target.label)
        return loss if target.guessed is None else loss + target.weight * self.loss(others, target.guessed)


def merge_unknown(logits: torch.Tensor, annotated: torch.Tensor) -> torch.Tensor:
    """Logits (B, K + 1, ...) with the classes that are not annotated (B, K + 1) merged into background, the first."""
    known = annotated.view(*annotated.shape, *[1] * (logits.ndim - 2))
    unknown = known.logical_not()
    unknown[:, 0] = True
    background = logits.masked_fill(~unknown, -torch.inf).logsumexp(1, keepdim=True)
    others = torch.where(known, logits, background - FAR)[:, 1:]
    return torch.cat([background, others], dim=1)
