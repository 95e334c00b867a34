"""Batches of pretraining: views of each query, and what decides which of them mean the same."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch

from ..errors import SemclError
from ..networks.pooling import check_pooling, surroundings
from ..queries.views import Views

MEANINGS = ("cluster", "object", "phase", "query")


class PrepareViews(PrepareBatch):
    """Batches of pretraining: ``count`` views of each query as input, its meaning as label.

    Gives inputs (V*B, 2, P, P[, P]), image and attention on the channel axis, view by view, and labels (V*B,); with
    ``tones`` the labels and the mean intensity under the mask of each view, (V*B,) in [0, 1].

    With the pooling "regions" or "points" two channels more say where the object is and what surrounds it, and labels
    (2V*B,) are first those of all objects, then of their surroundings, which have meanings of their own; so with tones.
    With "points" there are ``points`` of each, one after the other. With "regions" the attention of every second view
    is hidden: what the encoder is shown in one view it has to find by itself in the other.

    Args:
        views: draws a view.
        count: V.
        meaning: what views must have in common to be pulled together: "cluster" (organ x phase, arXiv 2106.01596),
            "object" (the organ alone), "phase" (of the scan alone) or "query" (their own query, as SimCLR does).
        tones: give the mean intensities too, for the loss's intensity-adaptive weights (arXiv 2210.08652).
        pooling: of the network (``ContrastNet``).
        points: of the network.
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
        pooling: str = "patch",
        points: int = 8,
        show_attention: bool = True,
    ) -> None:
        if meaning not in MEANINGS:
            raise SemclError(
                "there is no such meaning",
                found=f"meaning {meaning}",
                expected=f"one of {', '.join(MEANINGS)}",
                remedy="set meaning",
            )
        self.views, self.count, self.meaning, self.tones = views, count, meaning, tones
        self.pooling, self.show_attention = check_pooling(pooling), show_attention
        self.regions, self.points = pooling != "patch", points if pooling == "points" else 1

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | tuple[torch.Tensor, torch.Tensor]]:
        image, attention = (batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "attention"))
        label = batchdata[self.meaning].to(device, non_blocking=non_blocking)
        views = [self.views(image, attention) for _ in range(self.count)]
        labels = label.repeat(self.count)
        seen = [(image, [mask]) for image, mask in views]
        if self.regions:
            seen = [(image, [mask, surroundings(mask)]) for image, mask in views]
            labels = torch.cat([labels, -1 - labels]).repeat_interleave(self.points)
        channels = [[image, *self._shown(number, masks)] for number, (image, masks) in enumerate(seen)]
        inputs = torch.cat([torch.cat(view, dim=1) for view in channels])
        if not self.tones:
            return inputs, labels
        each = range(2 if self.regions else 1)
        tones = torch.cat([mean_tone(image, masks[which]) for which in each for image, masks in seen])
        return inputs, (labels, tones.repeat_interleave(self.points))

    def _shown(self, number: int, masks: list[torch.Tensor]) -> list[torch.Tensor]:
        """The channels of a view beside its image."""
        hidden = not self.show_attention or (self.pooling == "regions" and bool(number % 2))
        shown = torch.zeros_like(masks[0]) if hidden else masks[0]
        return [shown, *masks] if self.regions else [shown]


def mean_tone(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean intensity under the mask (B,), of images in [-1, 1] brought to [0, 1]; 1/2 under an empty mask.

    Of images (B, C, ...) it is the mean over channels too.
    """
    image = image.mean(1, keepdim=True)
    area = mask.flatten(1).sum(1)
    tone = ((image + 1) * mask).flatten(1).sum(1) / 2
    return torch.where(area > 0, tone / area.clamp_min(1), 0.5).clamp(0, 1)
