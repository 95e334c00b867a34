"""Gaussian blur of images of a batch, each by its own width, an axis after the other."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

REACH = 3  # standard deviations a blur looks to each side
TILE = 64  # voxels of an axis blurred by one product


class Tile(NamedTuple):
    """Voxels of an axis, those they are sums of, and the weights (B, voxels, voxels)."""

    voxels: slice
    seen: slice
    weights: torch.Tensor

    def of(self, part: slice) -> Tile:
        """For a part of the batch."""
        return self._replace(weights=self.weights[part])


def blur(image: torch.Tensor, sigmas: NDArray[np.float64]) -> torch.Tensor:
    """Gaussian blur of images (B, C, *spatial), each with its own standard deviation in voxels; edges are repeated."""
    kernels = torch.from_numpy(blur_kernels(sigmas)).to(image.device, image.dtype, non_blocking=True)
    for axis in range(2, image.ndim):
        blurred = torch.empty_like(image, memory_format=torch.contiguous_format)
        blur_axis(image, axis, blur_tiles(kernels, image.shape[axis]), blurred)
        image = blurred
    return image


def blur_kernels(sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussians (B, taps), in voxels, that all look as far as the widest does."""
    reach = max(1, math.ceil(REACH * float(sigmas.max(initial=0))))
    steps = np.arange(-reach, reach + 1)
    kernels = np.exp(-0.5 * (steps / np.maximum(sigmas, 1e-3)[:, None]) ** 2)
    kernels[kernels < 1e-20] = 0  # below any rounding, and subnormal numbers would be slow
    return np.asarray(kernels / kernels.sum(1, keepdims=True))


def blur_tiles(kernels: torch.Tensor, size: int, most: int = TILE) -> list[Tile]:
    """What blurs an axis of ``size`` voxels by kernels (B, taps), its ends repeated beyond it."""
    count = math.ceil(size / most)
    ends = [size * number // count for number in range(count + 1)]
    return [_tile(kernels, size, start, stop) for start, stop in zip(ends, ends[1:], strict=False)]


def _tile(kernels: torch.Tensor, size: int, start: int, stop: int) -> Tile:
    count, taps = kernels.shape
    rows, reach = stop - start, taps // 2
    seen = slice(max(0, start - reach), min(size, stop + reach))
    before, width = seen.start - (start - reach), seen.stop - seen.start
    band = kernels.new_zeros(count, rows, rows + taps - 1)  # also over what is beyond the ends
    band.as_strided([count, rows, taps], [band[0].numel(), rows + taps, 1]).copy_(kernels[:, None])
    weights = band[:, :, before : before + width]
    weights[:, :, 0] += band[:, :, :before].sum(2)
    weights[:, :, -1] += band[:, :, before + width :].sum(2)
    return Tile(slice(start, stop), seen, weights)


def blur_axis(image: torch.Tensor, axis: int, tiles: list[Tile], out: torch.Tensor) -> None:
    """Blur an axis of images (B, C, *spatial) into ``out``, other memory, contiguous.

    A product with a matrix, on a CPU as on a GPU faster than a sum over shifted images.
    """
    count, size, after = len(image), image.shape[axis], math.prod(image.shape[axis + 1 :])
    for voxels, seen, weights in tiles:
        if after == 1:
            lines, blurred = (values.reshape(count, -1, size) for values in (image, out))
            torch.bmm(lines[:, :, seen], weights.mT, out=blurred[:, :, voxels])
        else:
            planes, blurred = (values.reshape(-1, size, after) for values in (image, out))
            each = weights[:, None].expand(-1, len(planes) // count, -1, -1).reshape(-1, *weights.shape[1:])
            torch.bmm(each, planes[:, seen], out=blurred[:, voxels])
