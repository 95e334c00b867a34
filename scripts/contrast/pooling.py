"""From feature maps to a vector: the mean of the last over the whole patch, or of all of them over a region."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Pool

from ..errors import SemclError

POOLINGS = ("patch", "regions")
REACH = 8  # parts of a patch's side that the surroundings of a region reach


def check_pooling(pooling: str) -> str:
    """The name of a pooling, if it is one.

    Raises:
        SemclError: for another name.
    """
    if pooling not in POOLINGS:
        raise SemclError(
            "there is no such pooling", found=pooling, expected=" or ".join(POOLINGS), remedy="set pooling"
        )
    return pooling


def pool(features: Sequence[torch.Tensor], mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Feature maps (B, C, *map), finest first, of queries whose attention is ``mask`` (B, 1, *patch), as vectors.

    By "patch" the mean of the last map (B, C). By "regions" the means of all maps under the mask, one after the other
    (B, sum of C): what a decoder with skips will read, not the last map alone.
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


def surroundings(mask: torch.Tensor) -> torch.Tensor:
    """What lies around a mask (B, 1, *patch), within an eighth of the patch's side."""
    axes = mask.ndim - 2
    reach = mask.shape[-1] // REACH
    wide = mask
    for axis in range(axes):
        kernel = [2 * reach + 1 if other == axis else 1 for other in range(axes)]
        wide = Pool[Pool.MAX, axes](kernel, stride=1, padding=[size // 2 for size in kernel])(wide)
    return wide - mask
