"""What is done to a fused map at last: stray parts go, and no slice of an organ is lost without a word."""

from __future__ import annotations

import torch

from ..cohort.components import without_islands


def finished(objects: torch.Tensor, coarse: torch.Tensor, smallest_island: float, keep_slices: bool) -> torch.Tensor:
    """A map of object numbers (X, Y, Z) without islands, and with the coarse map where an object was lost.

    Args:
        objects: what was drawn and fused.
        coarse: the coarse map, of the same shape.
        smallest_island: parts of an object below this share of its largest part go; 0 keeps all, 1 the largest alone.
        keep_slices: on axial slices where nothing of an object was drawn, though the coarse map shows it, the coarse
            map stays, as far as it leaves other objects alone.
    """
    if smallest_island:
        objects = torch.from_numpy(without_islands(objects.cpu().numpy(), smallest_island)).to(objects.device)
    return with_lost_slices(objects, coarse) if keep_slices else objects


def with_lost_slices(objects: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """Object numbers (X, Y, Z), with those of ``coarse`` on slices (along Z) where an object it shows is not drawn."""
    count, depth = int(coarse.max()) + 1, coarse.shape[2]
    drawn, shown = (_on_slices(numbers, count, depth) for numbers in (objects, coarse))
    lost = shown & ~drawn
    lost[0] = False
    slices = torch.nonzero(lost.any(0)).flatten()
    if not len(slices):
        return objects
    restored = objects.clone()
    mine, theirs = restored[:, :, slices], coarse[:, :, slices].long()
    keeps = (mine == 0) & lost[theirs, slices.expand_as(theirs)]
    restored[:, :, slices] = torch.where(keeps, theirs.to(mine.dtype), mine)
    return restored


def _on_slices(objects: torch.Tensor, count: int, depth: int) -> torch.Tensor:
    """Whether each object is on each slice, (K + 1, Z)."""
    there = torch.zeros(count, depth, dtype=torch.bool, device=objects.device)
    x, y, z = torch.nonzero(objects, as_tuple=True)
    number = objects[x, y, z].long()
    known = number < count
    there[number[known], z[known]] = True
    return there
