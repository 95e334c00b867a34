"""Gaussian blur of a batch of images, each with its own width."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from .noise import EVERY_IMAGE

CUTOFF = 3  # standard deviations at which a Gaussian is cut off
TILE = 64  # voxels of an axis that one matrix product blurs


class Gaussians:
    """Gaussian kernels for a batch of images, on its device and of its dtype.

    Args:
        sigmas: standard deviations (B,), voxels; each kernel is cut off after three of them.
        image: the batch.

    Attributes:
        still: which images (B,) stay as they are.
    """

    def __init__(self, sigmas: NDArray[np.float64], image: torch.Tensor) -> None:
        self.reach = max(1, math.ceil(CUTOFF * float(sigmas.max(initial=0))))
        steps = np.arange(-self.reach, self.reach + 1)
        kernels = np.exp(-0.5 * (steps / np.maximum(sigmas, 1e-3)[:, None]) ** 2)
        kernels[np.abs(steps) > np.maximum(1, np.ceil(CUTOFF * sigmas))[:, None]] = 0  # independent of the other images
        kernels[kernels < torch.finfo(image.dtype).eps ** 1.25] = 0  # below rounding error
        kernels /= kernels.sum(1, keepdims=True)
        self.still = kernels[:, self.reach] == 1
        self.kernels = torch.from_numpy(kernels).to(image.device, image.dtype, non_blocking=True)  # (B, taps)
        self._matrices: dict[tuple[int, int, int], torch.Tensor] = {}

    def along(self, axis: int, image: torch.Tensor, out: torch.Tensor, part: slice = EVERY_IMAGE) -> torch.Tensor:
        """Blur an axis of images (B, C, *spatial), ``part`` of the batch, into ``out``; edges are repeated.

        It uses matrix products, which are faster than sums over shifted images on both CPU and GPU.
        """
        size, after = image.shape[axis], math.prod(image.shape[axis + 1 :])
        shape = [len(image), -1, size] if after == 1 else [-1, size, after]
        lines, blurred = image.reshape(shape), out.view(shape)
        count = math.ceil(size / TILE)
        for number in range(count):
            start, stop = size * number // count, size * (number + 1) // count
            matrix, seen = self.matrix(size, start, stop)[part], slice(max(0, start - self.reach), stop + self.reach)
            if after == 1:
                torch.bmm(lines[:, :, seen], matrix.mT, out=blurred[:, :, start:stop])
            else:
                each = matrix[:, None].expand(-1, len(lines) // len(image), -1, -1).reshape(-1, *matrix.shape[1:])
                torch.bmm(each, lines[:, seen], out=blurred[:, start:stop])
        return out

    def matrix(self, size: int, start: int, stop: int) -> torch.Tensor:
        """Matrices (B, stop - start, inputs) that blur voxels of an axis of ``size``, from all voxels within reach."""
        if (size, start, stop) not in self._matrices:
            (count, taps), rows = self.kernels.shape, stop - start
            band = self.kernels.new_zeros(count, rows, rows + taps - 1)  # including voxels beyond the ends
            diagonals = band.as_strided([count, rows, taps], [rows * band.shape[2], band.shape[2] + 1, 1])
            diagonals.copy_(self.kernels[:, None])
            low, high = max(0, self.reach - start), band.shape[2] - max(0, stop + self.reach - size)
            matrix = band[:, :, low:high]
            matrix[:, :, 0] += band[:, :, :low].sum(2)
            matrix[:, :, -1] += band[:, :, high:].sum(2)
            self._matrices[size, start, stop] = matrix
        return self._matrices[size, start, stop]
