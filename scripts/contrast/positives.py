"""Batches of pretraining: views of each query, and what decides which of them mean the same."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch

from ..errors import one_of
from ..networks.pooling import PatchPooling, Pooling
from ..queries.views import Views

MEANINGS = ("cluster", "object", "phase", "query")


class PrepareViews(PrepareBatch):
    """Batches of pretraining: ``count`` views of each query as input, its meaning as label.

    Gives inputs (V*B, 2, P, P[, P]), image and attention on the channel axis, view by view, and labels (V*B,); with
    ``tones`` the labels and the mean intensity under the mask of each view, (V*B,) in [0, 1].

    A pooling that asks for masks gets them as channels after these, and labels (R*V*B,) are those of its vectors: first
    of all objects, then of their surroundings; so with tones. Where the pooling hides attention, it does so in every
    second view.

    Args:
        views: draws a view.
        count: V.
        meaning: what views must have in common to be pulled together: "cluster" (organ x phase, arXiv 2106.01596),
            "object" (the organ alone), "phase" (of the scan alone) or "query" (their own query, as SimCLR does).
        tones: give the mean intensities too, for the loss's intensity-adaptive weights (arXiv 2210.08652).
        pooling: of the network (``ContrastNet``).
        show_attention: False hides the attention from the encoder in all views; regions stay those of the attention.

    Raises:
        SemclError: for another meaning.
    """

    def __init__(
        self,
        views: Views,
        count: int = 2,
        meaning: str = "cluster",
        tones: bool = False,
        pooling: Pooling | None = None,
        show_attention: bool = True,
    ) -> None:
        one_of("meaning", meaning, MEANINGS)
        self.views, self.count, self.meaning, self.tones = views, count, meaning, tones
        self.pooling, self.show_attention = pooling or PatchPooling(), show_attention

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | tuple[torch.Tensor, torch.Tensor]]:
        image, attention = (batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "attention"))
        label = batchdata[self.meaning].to(device, non_blocking=non_blocking)
        views = [self.views(image, attention) for _ in range(self.count)]
        labels = label.repeat(self.count)
        seen = [(image, mask, self.pooling.regions(mask)) for image, mask in views]
        channels = [[image, self._shown(number, mask), *masks] for number, (image, mask, masks) in enumerate(seen)]
        inputs = torch.cat([torch.cat(view, dim=1) for view in channels])
        labels = self.pooling.labels(labels)
        if not self.tones:
            return inputs, labels
        each = zip(*([(image, region) for region in masks or [mask]] for image, mask, masks in seen), strict=True)
        tones = torch.cat([mean_tone(image, region) for of_region in each for image, region in of_region])
        return inputs, (labels, tones.repeat_interleave(self.pooling.each))

    def _shown(self, number: int, mask: torch.Tensor) -> torch.Tensor:
        """The attention channel of a view: its mask, or nothing."""
        hidden = not self.show_attention or (self.pooling.hides and bool(number % 2))
        return torch.zeros_like(mask) if hidden else mask


def mean_tone(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean intensity under the mask (B,), of images in [-1, 1] brought to [0, 1]; 1/2 under an empty mask.

    Of images (B, C, ...) it is the mean over channels too.
    """
    image = image.mean(1, keepdim=True)
    area = mask.flatten(1).sum(1)
    tone = ((image + 1) * mask).flatten(1).sum(1) / 2
    return torch.where(area > 0, tone / area.clamp_min(1), 0.5).clamp(0, 1)
