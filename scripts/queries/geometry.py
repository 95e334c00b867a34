"""Geometry of views: where their voxels lie in the input, and interpolation there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from .intensities import slabs


def axial_places(theta: torch.Tensor, side: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the voxels of views lie, in voxels of the input, for theta (B, 3, 4) that rotates in the axial plane only.

    Returns their places along the second and first axis (2, B, P, P), and along the third (B, 1, P).
    """
    in_voxels = theta * (size / 2)  # the first voxel's centre at 0
    in_voxels[:, :, 3] += (size - 1) / 2
    return affine_planes(in_voxels[:, 1:, 1:], side), affine_planes(in_voxels[:, :1, ::3], side)[0, :, None]


def axial_sample(
    volume: torch.Tensor,
    places: tuple[torch.Tensor, torch.Tensor],
    mode: str,
    outside: float = 0,
    smooth: torch.Tensor | None = None,
    change: Callable[[torch.Tensor, slice, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """``grid_sample`` of volumes (B, C, S, S, S) at the ``axial_places`` of views rotated in the axial plane only.

    The third axis then separates from the other two: in the plane, a line of voxels is the weighted sum of the four
    lines around it (or the nearest one), and along the lines one matrix product does it. Exactly trilinear (or
    nearest neighbour), and many times faster.

    Args:
        volume: the volumes.
        places: of the views, by ``axial_places``.
        mode: "bilinear" or "nearest".
        outside: value around the volumes, which is subtracted from the views.
        smooth: matrices (B, P, P) that blur the third axis of the views.
        change: called with each part of the views as soon as it is sampled, its slice of the batch, and the output.
    """
    plane, third = places
    count, channels, size, side = len(volume), volume.shape[1], volume.shape[-1], third.shape[-1]
    index, weight = _lines(plane, size, mode)
    voxels = torch.arange(size, device=third.device)[:, None]
    along = third.round() == voxels if mode == "nearest" else (1 - (third - voxels).abs()).clamp_min(0)
    along = along.to(volume.dtype)  # (B, S, P)
    if smooth is not None:
        along = along @ smooth.mT
    views = volume.new_empty(count, channels, side, side, side)
    parts = slabs(volume)
    if not parts:
        return views
    step = parts[0].stop
    first = torch.arange(count * channels, device=volume.device, dtype=torch.int32) % (step * channels)
    index = (index[:, None] + first.view(count, channels, 1, 1) * size**2).flatten(1, 2)
    weight = weight[:, None].expand(-1, channels, -1, -1).flatten(1, 2)
    split = (values.split(step) for values in (volume, index, weight, along, views))
    for part, some, bags, weights, matrix, view in zip(parts, *split, strict=True):
        table = (some - outside if outside else some).reshape(-1, size)
        lines = functional.embedding_bag(
            bags.flatten(0, 1), table, mode="sum", per_sample_weights=weights.flatten(0, 1)
        )
        torch.bmm(lines.view(len(some), -1, size), matrix, out=view.view(len(some), -1, side))
        if change is not None:
            change(view, part, view)
    return views


def _lines(plane: torch.Tensor, size: int, mode: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the input's lines along the third axis that each line of a view is the sum of, and their weights.

    Both are (B, P * P, corners). ``plane`` (2, B, P, P) holds the lines' places in voxels: second axis, first axis.
    """
    if mode == "nearest":
        cell = plane.round()[None]
        share = torch.ones_like(cell)
    else:
        low = plane.floor()
        upper = plane - low
        cell, share = torch.stack([low, low + 1]), torch.stack([1 - upper, upper])
    inside = cell.clamp(0, size - 1)
    share.sub_((cell - inside).abs_()).clamp_min_(0)  # outside weighs nothing
    index = inside[:, None, 1] * size + inside[None, :, 0]  # (down, right, B, P, P)
    weight = share[:, None, 1] * share[None, :, 0]
    index, weight = (values.flatten(0, 1).flatten(2).movedim(0, -1) for values in (index, weight))
    return index.contiguous().int(), weight.contiguous()


def affine_planes(theta: torch.Tensor, side: int) -> torch.Tensor:
    """``affine_grid`` of theta (B, dims, dims + 1), coordinates first: (dims, B, P, P[, P]).

    One plane per coordinate, by broadcast sums: several times faster on a CPU than its matrix product.
    """
    count, rows, dims = len(theta), theta.shape[1], theta.shape[2] - 1
    steps = (torch.arange(side, device=theta.device, dtype=theta.dtype) * 2 + 1) / side - 1
    planes = theta[:, :, dims].view(count, rows, *[1] * dims)
    for axis in range(dims):  # theta's first column belongs to the last axis
        shape = [count, rows, *(side if other == axis else 1 for other in range(dims))]
        planes = planes + (theta[:, :, dims - 1 - axis, None] * steps).view(shape)
    return planes.movedim(1, 0)
