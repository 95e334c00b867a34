"""Embeddings of objects: some queries of each, as a pretrained encoder sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ..job.weights import load_weights
from ..networks.pooling import Pooling
from ..queries.grid import AIR, QueryGrid

Query = tuple[list[int], NDArray[np.bool_]]  # first voxel of a patch, and the object's mask there


@dataclass(frozen=True)
class Encoding:
    """An encoder and how it is run.

    Args:
        encoder: returns feature maps.
        pooling: of its feature maps, as in pretraining.
        device: where it runs.
        queries: embedded of each object.
        batch_size: queries per forward pass.
        show_attention: False hides the mask from the encoder.
    """

    encoder: nn.Module
    pooling: Pooling
    device: torch.device
    queries: int = 4
    batch_size: int = 64
    show_attention: bool = True


def pretrained_encoding(
    encoder: nn.Module, weights: str, pooling: Pooling, device: torch.device, **options: Any
) -> Encoding | None:
    """An encoder with the weights of pretraining; None, and a line that says so, where there are none.

    Args:
        encoder: takes the weights.
        weights: their file.
        pooling: as in ``Encoding``.
        device: as in ``Encoding``.
        options: further ones of ``Encoding``.
    """
    if not Path(weights).is_file():
        print(
            f"no pretrained encoder ({weights}): the audit rests on size, place, shape and intensity alone; "
            "coarse.yaml, then pretrain.yaml make one"
        )
        return None
    load_weights(Path(weights), encoder, "pretrain.yaml")
    return Encoding(encoder, pooling, device, **options)


def object_queries(grid: QueryGrid, own: NDArray[np.integer], corner: Sequence[int], count: int) -> list[Query]:
    """``count`` queries of an object, evenly spread; some twice where it has fewer.

    Args:
        grid: the query grid.
        own: the object, 1 in a box (X, Y, Z) that holds it.
        corner: first voxel of the box.
        count: of queries.
    """
    starts = grid.queries(own)[:, 1:]
    middles = ((np.arange(count) + 0.5) * len(starts) / count).astype(int)
    mask = torch.from_numpy(own)
    return [((start + corner).tolist(), (grid.cut(mask, start.tolist()) > 0).numpy()) for start in starts[middles]]


def embed_objects(
    grid: QueryGrid, image: torch.Tensor, objects: list[list[Query]], encoding: Encoding
) -> NDArray[np.float32]:
    """Vectors (N, Q, D) of unit length of the queries of N objects of an image (C, X, Y, Z) on the grid."""
    queries = [query for each in objects for query in each]
    encoder, device = encoding.encoder.to(encoding.device).eval(), encoding.device
    found = []
    with torch.no_grad():
        for first in range(0, len(queries), encoding.batch_size):
            batch = queries[first : first + encoding.batch_size]
            patches = torch.stack([grid.cut(image, start, outside=AIR).float() for start, _ in batch]).to(device)
            masks = torch.from_numpy(np.stack([mask for _, mask in batch]))[:, None].float().to(device)
            maps = encoder(torch.cat([patches, masks * encoding.show_attention], 1))
            found.append(functional.normalize(encoding.pooling.describe(maps, masks).float(), dim=1).cpu())
    vectors: NDArray[np.float32] = torch.cat(found).numpy().reshape(len(objects), encoding.queries, -1)
    return vectors
