"""Post-processing of a fused map: small components are removed, and slices an organ was lost on are restored."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from ..cohort.components import Box, boxes, on_slices, without_islands


def post_process(
    objects: torch.Tensor, coarse: torch.Tensor, smallest_island: float, keep_slices: bool, islands: float = 0
) -> torch.Tensor:
    """A map of object numbers (X, Y, Z) without islands, and with the coarse map where an object was lost.

    Args:
        objects: the fused predictions.
        coarse: the coarse map, of the same shape.
        smallest_island: components of an object below this share of its largest one are removed, also after the coarse
            map was used; 0 keeps all, 1 only the largest.
        keep_slices: use the coarse map on axial slices on which it shows an object and nothing of it was predicted,
            without overwriting other objects.
        islands: components of an object of the coarse map below this share of its largest one are not used.
    """
    kept = _without_islands(objects, smallest_island)
    if not keep_slices:
        return kept
    restored = restore_lost_slices(kept, coarse, islands)
    return kept if restored is kept else _without_islands(restored, smallest_island)


def _without_islands(objects: torch.Tensor, smallest: float) -> torch.Tensor:
    if not smallest:
        return objects
    return torch.from_numpy(without_islands(objects.cpu().numpy(), smallest)).to(objects.device)


def restore_lost_slices(objects: torch.Tensor, coarse: torch.Tensor, islands: float = 0) -> torch.Tensor:
    """Object numbers (X, Y, Z), from ``coarse`` on slices (along Z) on which an object it shows was not predicted.

    Components of ``coarse`` below the share ``islands`` of their object's largest are left out.
    """
    predicted, shown = objects.cpu().numpy(), coarse.cpu().numpy()
    count = int(shown.max(initial=0))
    absent = ~on_slices(predicted, count)
    lost = on_slices(shown, count) & absent
    if islands and lost.any():
        shown = without_islands(shown, islands)
        lost = on_slices(shown, count) & absent
    if not lost.any():
        return objects
    restored = predicted.copy()
    found = boxes(shown, count)
    for index, z in np.argwhere(lost).tolist():
        x, y, _ = cast(Box, found[index])
        free = (shown[x, y, z] == index + 1) & (predicted[x, y, z] == 0)
        restored[x, y, z][free] = index + 1
    return torch.from_numpy(restored).to(objects.device)
