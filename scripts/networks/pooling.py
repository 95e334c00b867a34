"""Pooling of feature maps into vectors: means over the whole patch or over regions, or values at points in regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from monai.networks.layers.factories import Pool
from torch import nn
from torch.nn import functional

from ..errors import SemclError, one_of
from .decoder import AsppDecoder

SURROUNDINGS = 8  # the surroundings of a region reach 1/8 of a patch's side


class Pooling(nn.Module, ABC):
    """Pools the feature maps of a batch of queries into vectors, and states what else in a batch depends on that.

    Attributes:
        masks: how many masks the pooling needs: 0, or 2 (the object and its surroundings).
        hides: whether every second view of a query hides its attention from the encoder, which then has to find there
            what the other view shows.
        each: vectors per region.
        decoder: pretrained together with the encoder, if any.
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
        """Length of the vectors pooled from maps with these numbers of channels."""

    @abstractmethod
    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        """Vectors (R * B * each, width) of feature maps (B, C, *map), finest first, under R masks (B, 1, *patch)."""

    def read(self, count: int) -> list[int]:
        """Numbers of the feature maps, 0 to ``count`` - 1, that the vectors are made of."""
        return list(range(count))

    def describe(self, features: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        """One vector per query (B, C) from a trained encoder: the means of all maps under its mask."""
        return torch.cat([masked_mean(level, mask) for level in features], dim=1)

    def regions(self, mask: torch.Tensor) -> list[torch.Tensor]:
        """The masks (B, 1, *patch) that this pooling needs of queries whose attention is ``mask``."""
        return [mask, surroundings(mask)]

    def labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels of the vectors: surroundings form classes of their own, -1 - label."""
        return torch.cat([labels, -1 - labels]).repeat_interleave(self.each)


class PatchPooling(Pooling):
    """The mean of the last map over the whole patch, as in the paper's code: one vector per query."""

    def width(self, channels: Sequence[int]) -> int:
        return channels[-1]

    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        return features[-1].flatten(2).mean(2)

    def read(self, count: int) -> list[int]:
        return [count - 1]

    def describe(self, features: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self(features, [])
        return vectors

    def regions(self, mask: torch.Tensor) -> list[torch.Tensor]:
        return []

    def labels(self, labels: torch.Tensor) -> torch.Tensor:
        return labels


class RegionPooling(Pooling):
    """The means of all maps under a region, concatenated: all that a decoder with skips will read."""

    masks = 2
    hides = True

    def width(self, channels: Sequence[int]) -> int:
        return sum(channels)

    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        together = torch.cat(list(masks), dim=1)
        means = torch.cat([masked_means(level, together) for level in features], dim=2)
        return means.transpose(0, 1).flatten(0, 1)  # region by region


class PointPooling(Pooling):
    """Values of the decoder's last map at random points of a region (local contrast, arXiv 2006.10511).

    The decoder is pretrained too, except for its logit.

    Args:
        decoder: the decoder to be fine-tuned later.
        points: per region.

    Raises:
        SemclError: for less than one point.
    """

    masks = 2
    decoder: AsppDecoder

    def __init__(self, decoder: AsppDecoder, points: int = 8) -> None:
        super().__init__(decoder)
        if points < 1:
            raise SemclError("there are no points", found=f"points {points}", expected="1 or more", remedy="set points")
        self.each = points
        decoder.logit.requires_grad_(False)

    def read(self, count: int) -> list[int]:
        return [*self.decoder.skips, count - 1]

    def width(self, channels: Sequence[int]) -> int:
        return self.decoder.width

    def forward(self, features: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        decoded = self.decoder.decode(list(features))
        return torch.cat([at_points(decoded, mask, self.each).flatten(0, 1) for mask in masks])


POOLINGS = ("patch", "regions", "points")


def make_pooling(name: str, decoder: Callable[[], AsppDecoder] | None = None, points: int = 8) -> Pooling:
    """The pooling of a given name, for configs.

    Args:
        name: one of ``POOLINGS``.
        decoder: makes the decoder of "points"; the others have none.
        points: per region, for "points".

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


def masked_mean(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean (B, C) of a map (B, C, *map) under a mask (B, 1, *patch), each cell weighted by its share in the mask.

    Under an empty mask all cells count equally.
    """
    return masked_means(features, mask)[:, 0]


def masked_means(features: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Means (B, R, C) of a map (B, C, *map) under R masks (B, R, *patch), ``masked_mean`` of each, in one product.

    At least float32, under autocast too: sums over a large map exceed float16.
    """
    exact = torch.promote_types(features.dtype, torch.float32)
    with torch.autocast(features.device.type, enabled=False):
        cover: torch.Tensor = Pool[Pool.ADAPTIVEAVG, features.ndim - 2](features.shape[2:])(masks.to(exact))
        weight = cover.flatten(2)
        weight = weight + (weight.sum(2, keepdim=True) == 0).to(exact)
        return torch.bmm(weight, features.flatten(2).mT.to(exact)) / weight.sum(2, keepdim=True)


def at_points(features: torch.Tensor, mask: torch.Tensor, count: int) -> torch.Tensor:
    """Values (B, count, C) of a map (B, C, *map) at random voxels of a mask (B, 1, *patch), interpolated linearly.

    Under an empty mask all voxels are equally likely. They are sampled by the generator of the tensor's device; each
    rank samples its own.
    """
    shape, axes = mask.shape[2:], mask.ndim - 2
    voxel = torch.multinomial(mask.flatten(1).float() + 1e-6, count, replacement=True)
    coordinates = []
    for size in reversed(shape):  # grid_sample takes the last axis first
        coordinates.append((voxel % size * 2 + 1) / size - 1)
        voxel = voxel.div(size, rounding_mode="floor")
    grid = torch.stack(coordinates, dim=-1).view(len(mask), count, *[1] * (axes - 1), axes).to(features.dtype)
    values = functional.grid_sample(features, grid, padding_mode="border", align_corners=False)
    return values.flatten(2).mT


def surroundings(mask: torch.Tensor) -> torch.Tensor:
    """The surroundings of a mask (B, 1, *patch): within an eighth of the patch's side, and not in it."""
    axes = mask.ndim - 2
    reach = mask.shape[-1] // SURROUNDINGS
    dilated = mask
    for axis in range(axes):
        kernel = [2 * reach + 1 if other == axis else 1 for other in range(axes)]
        dilated = Pool[Pool.MAX, axes](kernel, stride=1, padding=[size // 2 for size in kernel])(dilated)
    return dilated - mask
