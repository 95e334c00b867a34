"""Pooling, from feature maps to vectors: means over the whole patch or over regions, or values at points of regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from monai.networks.layers.factories import Pool
from torch import nn
from torch.nn import functional

from ..errors import SemclError, one_of
from .decoder import AsppDecoder

REACH = 8  # parts of a patch's side that the surroundings of a region reach


class Pooling(nn.Module, ABC):
    """From the feature maps of a batch of queries to vectors, and what else of a batch depends on how that is done.

    Attributes:
        masks: masks the pooling asks for: 0, or 2 (of the object and of what surrounds it).
        hides: whether every second view of a query hides its attention from the encoder, so that what one view is shown
            the other has to find by itself.
        each: vectors per region.
        decoder: pretrained beside the encoder; None where there is none.
    """

    masks = 0
    hides = False
    each = 1
    decoder: AsppDecoder | None

    def __init__(self, decoder: AsppDecoder | None = None) -> None:
        super().__init__()
        self.decoder = decoder

    @abstractmethod
    def width(self, channels: Sequence[int]) -> int:
        """Length of the vectors that are pooled from maps of so many channels."""

    @abstractmethod
    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        """Vectors (R * B * each, width) of feature maps (B, C, *map), finest first, under R masks (B, 1, *patch)."""

    def describe(self, features: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        """One vector per query (B, C) that says what a trained encoder makes of it: the means of all maps under it."""
        return torch.cat([under(level, mask) for level in features], dim=1)

    def regions(self, mask: torch.Tensor) -> list[torch.Tensor]:
        """The masks (B, 1, *patch) this pooling asks for, of queries whose attention is ``mask``."""
        return [mask, surroundings(mask)]

    def labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels of the vectors: surroundings have meanings of their own, -1 - label."""
        return torch.cat([labels, -1 - labels]).repeat_interleave(self.each)


class PatchPooling(Pooling):
    """The mean of the last map over the whole patch, as in the paper's code: one vector per query."""

    def width(self, channels: Sequence[int]) -> int:
        return channels[-1]

    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        return features[-1].flatten(2).mean(2)

    def describe(self, features: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self(features, [])
        return vectors

    def regions(self, mask: torch.Tensor) -> list[torch.Tensor]:
        return []

    def labels(self, labels: torch.Tensor) -> torch.Tensor:
        return labels


class RegionPooling(Pooling):
    """The means of all maps under a region, one after the other: what a decoder with skips will read."""

    masks = 2
    hides = True

    def width(self, channels: Sequence[int]) -> int:
        return sum(channels)

    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([self.describe(features, mask) for mask in masks])


class PointPooling(Pooling):
    """Values at random points of a region, of what a decoder makes of the maps (local contrast, arXiv 2006.10511).

    The decoder is pretrained too, all but its logit.

    Args:
        decoder: the decoder that is to be fine-tuned.
        points: of each region.

    Raises:
        SemclError: for less than one point.
    """

    masks = 2
    decoder: AsppDecoder

    def __init__(self, decoder: AsppDecoder, points: int = 8) -> None:
        super().__init__(decoder)
        if points < 1:
            raise SemclError("there is no point", found=f"points {points}", expected="1 or more", remedy="set points")
        self.each = points
        decoder.logit.requires_grad_(False)

    def width(self, channels: Sequence[int]) -> int:
        return self.decoder.width

    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        decoded = self.decoder.decode(list(features))
        return torch.cat([at_points(decoded, mask, self.each).flatten(0, 1) for mask in masks])


POOLINGS = ("patch", "regions", "points")


def make_pooling(name: str, decoder: Callable[[], AsppDecoder] | None = None, points: int = 8) -> Pooling:
    """The pooling a config names.

    Args:
        name: one of ``POOLINGS``.
        decoder: makes the decoder of "points"; the others have none.
        points: of "points".

    Raises:
        SemclError: for another name, or "points" without a decoder.
    """
    one_of("pooling", name, POOLINGS)
    if name != "points":
        return PatchPooling() if name == "patch" else RegionPooling()
    if decoder is None:
        raise SemclError(
            "points need a decoder", found="none", expected="the decoder to fine-tune", remedy="set another pooling"
        )
    return PointPooling(decoder(), points)


def under(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean (B, C) of a map (B, C, *map) under a mask (B, 1, *patch): each place counts by the share of it in the mask.

    Under an empty mask all places count alike.
    """
    cover: torch.Tensor = Pool[Pool.ADAPTIVEAVG, features.ndim - 2](features.shape[2:])(mask.to(features.dtype))
    weight = cover.flatten(2)
    weight = weight + (weight.sum(2, keepdim=True) == 0).to(weight.dtype)
    return (features.flatten(2) * weight).sum(2) / weight.sum(2)


def at_points(features: torch.Tensor, mask: torch.Tensor, count: int) -> torch.Tensor:
    """A map (B, C, *map) at ``count`` random places of a mask (B, 1, *patch), interpolated linearly: (B, count, C).

    Under an empty mask all places count alike. Places are drawn by the generator of the tensor's device; of several
    ranks each draws its own.
    """
    shape, axes = mask.shape[2:], mask.ndim - 2
    place = torch.multinomial(mask.flatten(1).float() + 1e-6, count, replacement=True)
    found = []
    for size in reversed(shape):  # grid_sample wants the last axis first
        found.append((place % size * 2 + 1) / size - 1)
        place = place.div(size, rounding_mode="floor")
    grid = torch.stack(found, dim=-1).view(len(mask), count, *[1] * (axes - 1), axes).to(features.dtype)
    values = functional.grid_sample(features, grid, padding_mode="border", align_corners=False)
    return values.flatten(2).mT


def surroundings(mask: torch.Tensor) -> torch.Tensor:
    """What lies around a mask (B, 1, *patch), within an eighth of the patch's side."""
    axes = mask.ndim - 2
    reach = mask.shape[-1] // REACH
    wide = mask
    for axis in range(axes):
        kernel = [2 * reach + 1 if other == axis else 1 for other in range(axes)]
        wide = Pool[Pool.MAX, axes](kernel, stride=1, padding=[size // 2 for size in kernel])(wide)
    return wide - mask
