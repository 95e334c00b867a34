"""What plain networks learn from: batches as they are seen."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch

from ..cohort.label_table import IGNORED
from ..networks.segmentation_loss import Target
from .augmentation import Augmentation
from .teacher import Teacher


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
