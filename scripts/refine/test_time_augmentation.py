"""Test-time augmentation: the logits of a query as it is and of its rotated, scaled and mirrored views are averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from ..errors import SemclError
from ..queries.grid import AIR

VIEWS = ((0, 1.0), (10, 1.0), (-10, 1.0), (0, 0.9), (0, 1.1))  # degrees in the axial plane, scale
SEEN = 0.5  # share of a voxel that a view must show to count there
Network = Callable[[torch.Tensor], torch.Tensor]


class AugmentedInference:  # pytest would collect a class called Test...
    """Averages a network's logits over views of each query; each view is interpolated once there and once back.

    Args:
        count: views per query, from 1 (as it is) to 5 (rotated by 10 degrees either way, scaled by 0.9 and 1.1), or
            twice as many where ``flip_axes`` allows mirroring.
        flip_axes: spatial axes that may be mirrored (``LabelTable.flip_axes``, which keeps left and right apart).

    Raises:
        SemclError: for more views than there are.
    """

    def __init__(self, count: int, flip_axes: Sequence[int] = ()) -> None:
        mirrored: list[tuple[int, ...]] = [(), *([tuple(flip_axes)] if flip_axes else [])]
        views = [(degrees, scale, flips) for flips in mirrored for degrees, scale in VIEWS]
        if not 1 <= count <= len(views):
            why = "with mirrored ones" if flip_axes else "left and right are paired in this cohort: none is mirrored"
            raise SemclError(
                "there are not that many test-time views",
                found=f"test_views {count}",
                expected=f"1 to {len(views)} ({why})",
                remedy="set test_views",
            )
        self.views = views[:count]

    def __call__(self, network: Network) -> Network:
        """A network that averages another's logits (B, 1, P, P[, P]) over the views of each query (B, C, P, P[, P])."""
        if len(self.views) == 1:
            return network

        def average(queries: torch.Tensor) -> torch.Tensor:
            total, times = torch.zeros_like(queries[:, :1]), torch.zeros_like(queries[:1, :1])
            for degrees, scale, flips in self.views:
                if (degrees, scale, flips) == (0, 1.0, ()):
                    total, times = total + network(queries).float(), times + 1
                    continue
                there, back = _grids(queries, degrees, scale, flips)
                image = _sample(queries[:, :-1] - AIR, there) + AIR
                mask = _sample(queries[:, -1:], there, nearest=True)
                logits = _sample(network(torch.cat([image, mask], 1)).float(), back)
                seen = (_sample(torch.ones_like(times), back[:1]) > SEEN).float()
                total, times = total + logits * seen, times + seen
            return total / times

        return average


def _grids(
    queries: torch.Tensor, degrees: float, scale: float, flips: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sampling grids (B, P, P[, P], dims) of a view and of the way back."""
    dims = queries.ndim - 2
    angle = math.radians(degrees)
    view = torch.eye(dims)
    view[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    view *= scale
    for axis in flips:
        view[:, axis] *= -1
    grids = []
    for matrix in (view, torch.linalg.inv(view)):
        reversed_axes = matrix.flip(0, 1)  # torch's order is the last axis first
        affine = torch.cat([reversed_axes, torch.zeros(dims, 1)], 1).to(queries.device)
        grids.append(
            functional.affine_grid(affine.expand(len(queries), -1, -1), list(queries[:, :1].shape), align_corners=False)
        )
    return grids[0], grids[1]


def _sample(images: torch.Tensor, grid: torch.Tensor, nearest: bool = False) -> torch.Tensor:
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(images, grid.to(images.dtype), mode=mode, padding_mode="zeros", align_corners=False)
