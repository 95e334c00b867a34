"""From feature maps to vectors: means over the whole patch or over regions, or values at points of regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Pool
from torch.nn import functional

from ..errors import SemclError

POOLINGS = ("patch", "regions", "points")
REACH = 8  # parts of a patch's side that the surroundings of a region reach


def check_pooling(pooling: str) -> str:
    """The name of a pooling, if it is one.

    Raises:
        SemclError: for another name.
    """
    if pooling not in POOLINGS:
        raise SemclError(
            "there is no such pooling",
            found=pooling,
            expected=f"{', '.join(POOLINGS[:-1])} or {POOLINGS[-1]}",
            remedy="set pooling",
        )
    return pooling


def pool(features: Sequence[torch.Tensor], mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Feature maps (B, C, *map), finest first, of queries whose attention is ``mask`` (B, 1, *patch), as vectors.

    By "patch" the mean of the last map (B, C). By "regions" the means of all maps under the mask, one after the other
    (B, sum of C): what a decoder with skips will read, not the last map alone. By "points" the same: points are of what
    a decoder makes of the maps (``at_points``).
    """
    if pooling == "patch":
        return features[-1].flatten(2).mean(2)
    return torch.cat([under(level, mask) for level in features], dim=1)


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
