"""Batches of contrastive pretraining of plain encoders: views of whole slices or patches, without attention."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch

from .. import ranks
from ..errors import one_of
from .augmentation import Augmentation

SLICE_MEANINGS = ("slice", "phase")


class PrepareSliceViews(PrepareBatch):
    """Prepares batches of pretraining: two views of each slice (2*B, C, X, Y[, Z]), view by view, and labels (2*B,).

    Args:
        augmentation: makes a view.
        meaning: what positives have in common: "slice", views of one slice (SimCLR, arXiv 2002.05709), or "phase", the
            phase of their scans (SupCon, arXiv 2004.11362).

    Raises:
        SemclError: for an unknown meaning.
    """

    def __init__(self, augmentation: Augmentation, meaning: str = "slice") -> None:
        one_of("meaning", meaning, SLICE_MEANINGS)
        self.augmentation, self.meaning = augmentation, meaning

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = (batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "label"))
        count = len(image)
        number = torch.arange(count, device=device) * ranks.count() + ranks.number()  # no slice is on two ranks
        same = number if self.meaning == "slice" else batchdata["phase"].to(device, non_blocking=non_blocking)
        views = [self.augmentation(image, label)[0] for _ in range(2)]
        return torch.cat(views), same.repeat(2)
