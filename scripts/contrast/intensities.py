"""Changes of intensity, a different one for each image of a batch, on the batch's device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from .. import ranks

REACH = 3  # standard deviations a blur looks to each side


def change_intensities(image: torch.Tensor, draws: Mapping[str, NDArray[np.float64]]) -> torch.Tensor:
    """Apply the drawn changes in this order: blur, gamma, gain and offset, noise; then clip to [-1, 1].

    Args:
        image: (B, 1, *spatial) in [-1, 1]; may be overwritten.
        draws: by name, a number an image: "blur" (standard deviation, voxels), "gamma", "gain" and "offset" (of the
            image), "noise" (standard deviation) with "noise_seed". Those missing change nothing.
    """
    shape = [-1] + [1] * (image.ndim - 1)

    def drawn(values: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(values).to(image.device, image.dtype, non_blocking=True).view(shape)

    if "blur" in draws:
        image = blur(image, draws["blur"])
    if "gamma" in draws:  # 2 ((x + 1) / 2) ** gamma - 1; a logarithm and an exponential are faster than a power
        gamma = draws["gamma"]
        image = image.add_(1).clamp_(0, 2).log_()
        image = torch.addcmul(drawn(math.log(2) * (1 - gamma)), image, drawn(gamma), out=image).exp_().sub_(1)
    if "gain" in draws:
        image = torch.addcmul(drawn(draws["offset"]), image, drawn(draws["gain"]), out=image)
    if "noise" in draws:
        generator = torch.Generator(image.device).manual_seed(int(draws["noise_seed"][0]))
        whole = image.new_empty([len(image) * ranks.count(), *image.shape[1:]])  # of all ranks' images
        noise = ranks.own(whole.normal_(generator=generator))
        image = image.addcmul_(noise, drawn(draws["noise"]))
    return image.clamp_(-1, 1)


def blur(image: torch.Tensor, sigmas: NDArray[np.float64]) -> torch.Tensor:
    """Gaussian blur of images (B, C, *spatial), each with its own standard deviation in voxels; edges are repeated.

    An axis is blurred by one product with a matrix, on a CPU as on a GPU faster than a sum over shifted images.
    """
    for axis in range(2, image.ndim):
        matrix = _blur_matrix(sigmas, image.shape[axis]).to(image.device, image.dtype, non_blocking=True)
        whole = image.shape
        if axis == image.ndim - 1:
            image = image.flatten(1, -2) @ matrix.mT
        else:
            lead = image.flatten(1, axis - 1).flatten(3)
            image = matrix[:, None] @ lead
        image = image.view(whole)
    return image


def _blur_matrix(sigmas: NDArray[np.float64], size: int) -> torch.Tensor:
    """Matrices (B, size, size) that blur an axis, each row a Gaussian that repeats the ends beyond them."""
    reach = max(1, math.ceil(REACH * float(sigmas.max(initial=0))))
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (steps / np.maximum(sigmas, 1e-3)[:, None]) ** 2)
    kernel[kernel < 1e-20] = 0  # below any rounding, and subnormal numbers would be slow
    kernel /= kernel.sum(1, keepdims=True)
    place = np.clip(np.arange(size)[:, None] + steps, 0, size - 1)
    index = torch.from_numpy(place).expand(len(sigmas), -1, -1)
    taps = torch.from_numpy(kernel)[:, None].expand(-1, size, -1)
    return torch.zeros(len(sigmas), size, size, dtype=taps.dtype).scatter_add_(2, index, taps)
