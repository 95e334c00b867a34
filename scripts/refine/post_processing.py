"""Post-processing of a fused map: small components are removed, and slices an organ was lost on are restored."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from ..cohort.components import Box, boxes, on_slices, without_islands


def post_process(
    objects: torch.Tensor, coarse: torch.Tensor, smallest_island: float, keep_slices: bool
) -> torch.Tensor:
    """A map of object numbers (X, Y, Z) without islands, and with the coarse map where an object was lost.

    Args:
        objects: the fused predictions.
        coarse: the coarse map, of the same shape.
        smallest_island: components of an object below this share of its largest one are removed; 0 keeps all, 1 only
            the largest.
        keep_slices: use the coarse map on axial slices on which it shows an object and nothing of it was predicted,
            without overwriting other objects.
    """
    if smallest_island:
        objects = torch.from_numpy(without_islands(objects.cpu().numpy(), smallest_island)).to(objects.device)
    return restore_lost_slices(objects, coarse) if keep_slices else objects


def restore_lost_slices(objects: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """Object numbers (X, Y, Z), from ``coarse`` on slices (along Z) on which an object it shows was not predicted."""
    predicted, shown = objects.cpu().numpy(), coarse.cpu().numpy()
    count = int(shown.max(initial=0))
    lost = on_slices(shown, count) & ~on_slices(predicted, count)
    if not lost.any():
        return objects
    restored = predicted.copy()
    found = boxes(shown, count)
    for index, z in np.argwhere(lost).tolist():
        x, y, _ = cast(Box, found[index])
        free = (shown[x, y, z] == index + 1) & (predicted[x, y, z] == 0)
        restored[x, y, z][free] = index + 1
    return torch.from_numpy(restored).to(objects.device)
