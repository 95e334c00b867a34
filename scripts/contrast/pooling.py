"""From a feature map to a vector: the mean over the whole patch, or over what the attention mask shows."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Pool

from ..errors import SemclError

POOLINGS = ("patch", "attention")


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


def pool(features: torch.Tensor, inputs: torch.Tensor, pooling: str) -> torch.Tensor:
    """Features (B, C, *map) of queries (B, 2, *patch), whose last channel is the attention mask, as vectors (B, C).

    By "attention" each place of the map counts by the share of it that the mask covers; under an empty mask, as by
    "patch", all count alike.
    """
    if pooling == "patch":
        return features.flatten(2).mean(2)
    cover: torch.Tensor = Pool[Pool.ADAPTIVEAVG, features.ndim - 2](features.shape[2:])(
        inputs[:, -1:].to(features.dtype)
    )
    weight = cover.flatten(2)
    weight = weight + (weight.sum(2, keepdim=True) == 0).to(weight.dtype)
    return (features.flatten(2) * weight).sum(2) / weight.sum(2)
