"""What plain networks learn from: batches as they are seen, and the loss of all organs at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from monai.engines import PrepareBatch
from torch import nn

from ..cohort.label_table import IGNORED
from ..networks.segmentation_loss import FAR, IgnoringLoss
from .augmentation import Augmentation
from .teacher import Teacher


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


class PrepareSlices(PrepareBatch):
    """Prepares batches of training: augmented images and their ``Target``.

    The teacher guesses the labels of samples that have none from a weakly augmented view; it is augmented further, with
    its guess, for the network.

    Args:
        augmentation: changes a batch.
        weak: changes what the teacher sees.
        teacher: guesses; needed where samples have no label.
    """

    def __init__(
        self, augmentation: Augmentation, weak: Augmentation | None = None, teacher: Teacher | None = None
    ) -> None:
        self.augmentation, self.weak, self.teacher = augmentation, weak, teacher

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, Target]:
        image, label = (batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "label"))
        count = int(batchdata["labelled"].sum())  # they come first
        known = batchdata["annotated"][:count]
        annotated = None if known.all() else known.to(device, non_blocking=non_blocking)
        shown, label = self.augmentation(image[:count], label[:count])
        if self.teacher is None or self.weak is None or count == len(image):
            return shown, Target(label, annotated)
        others = image[count:]
        others, inside = self.weak(others, torch.zeros_like(others[:, :1]))
        guessed = self.teacher.guess(others).masked_fill(inside < 0, IGNORED)
        others, guessed = self.augmentation(others, guessed)
        return torch.cat([shown, others]), Target(label, annotated, guessed, self.teacher.weight)


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
