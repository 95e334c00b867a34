"""Post-processing of a fused map: small components are removed, and slices an organ was lost on are restored."""

from __future__ import annotations

import torch

from ..cohort.components import without_islands


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
    count, depth = int(coarse.max()) + 1, coarse.shape[2]
    predicted, shown = (_on_slices(numbers, count, depth) for numbers in (objects, coarse))
    lost = shown & ~predicted
    lost[0] = False
    slices = torch.nonzero(lost.any(0)).flatten()
    if not len(slices):
        return objects
    restored = objects.clone()
    refined, fallback = restored[:, :, slices], coarse[:, :, slices].long()
    replaced = (refined == 0) & lost[fallback, slices.expand_as(fallback)]
    restored[:, :, slices] = torch.where(replaced, fallback.to(refined.dtype), refined)
    return restored


def _on_slices(objects: torch.Tensor, count: int, depth: int) -> torch.Tensor:
    """Whether each object is on each slice, (K + 1, Z)."""
    there = torch.zeros(count, depth, dtype=torch.bool, device=objects.device)
    x, y, z = torch.nonzero(objects, as_tuple=True)
    number = objects[x, y, z].long()
    known = number < count
    there[number[known], z[known]] = True
    return there
