"""Batches of pretraining: views of each query, and the labels that decide which of them are positives."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch

from ..errors import one_of
from ..networks.pooling import PatchPooling, Pooling
from ..queries.views import Views

MEANINGS = ("cluster", "object", "phase", "query")


class PrepareViews(PrepareBatch):
    """Prepares batches of pretraining: ``count`` views of each query as input, and a label for each.

    Returns inputs (V*B, C + 1, P, P[, P]), image and attention on the channel axis, view by view, and labels (V*B,).
    With ``intensities``, labels become a pair: labels, and the mean intensity under the mask of each view, (V*B,) in
    [0, 1].

    A pooling that needs masks gets them as further channels, and labels and intensities (R*V*B,) are then those of its
    vectors: first of all objects, then of their surroundings. A pooling that hides attention does so in every second
    view.

    Args:
        views: makes one view of each query.
        count: V, views per query.
        meaning: what positives have in common: "cluster" (organ x phase, arXiv 2106.01596), "object" (the organ alone),
            "phase" (of the scan alone) or "query" (views of one query, as in SimCLR).
        intensities: return mean intensities too, for the loss's intensity-adaptive weights (arXiv 2210.08652).
        pooling: of the network (``ContrastNet``).
        show_attention: False: hide the attention from the encoder in all views; regions are still those of the
            attention.

    Raises:
        SemclError: for an unknown meaning.
    """

    def __init__(
        self,
        views: Views,
        count: int = 2,
        meaning: str = "cluster",
        intensities: bool = False,
        pooling: Pooling | None = None,
        show_attention: bool = True,
    ) -> None:
        one_of("meaning", meaning, MEANINGS)
        self.views, self.count, self.meaning, self.intensities = views, count, meaning, intensities
        self.pooling, self.show_attention = pooling or PatchPooling(), show_attention

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | tuple[torch.Tensor, torch.Tensor]]:
        image, attention = (
            batchdata[key].to(device, non_blocking=non_blocking).float() for key in ("image", "attention")
        )
        label = batchdata[self.meaning].to(device, non_blocking=non_blocking)
        views = [self.views(image, attention) for _ in range(self.count)]
        labels = label.repeat(self.count)
        regions = [self.pooling.regions(mask) for _, mask in views]
        channels = [[image, self._shown(number, mask), *regions[number]] for number, (image, mask) in enumerate(views)]
        inputs = torch.cat([torch.cat(view, dim=1) for view in channels])
        labels = self.pooling.labels(labels)
        if not self.intensities:
            return inputs, labels
        per_view = [
            [mean_intensity(image, region) for region in masks or [mask]]
            for (image, mask), masks in zip(views, regions, strict=True)
        ]
        means = torch.cat([mean for of_region in zip(*per_view, strict=True) for mean in of_region])
        return inputs, (labels, means.repeat_interleave(self.pooling.each))

    def _shown(self, number: int, mask: torch.Tensor) -> torch.Tensor:
        """The attention channel of a view: its mask, or zeros where it is hidden."""
        hidden = not self.show_attention or (self.pooling.hides and bool(number % 2))
        return torch.zeros_like(mask) if hidden else mask


def mean_intensity(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean intensity (B,) under a mask, of images (B, C, ...) in [-1, 1] scaled to [0, 1]; 1/2 under an empty mask.

    The mean is over channels too.
    """
    image = image.mean(1, keepdim=True)
    area = mask.flatten(1).sum(1)
    total = ((image + 1) * mask).flatten(1).sum(1) / 2
    return torch.where(area > 0, total / area.clamp_min(1), 0.5).clamp(0, 1)
