"""Changes of intensity, a different one for each image of a batch, on the batch's device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

REACH = 3  # standard deviations a blur looks to each side


def change_intensities(image: torch.Tensor, draws: Mapping[str, NDArray[np.float64]]) -> torch.Tensor:
    """Apply the drawn changes in this order: blur, gamma, gain and offset, noise; then clip to [-1, 1].

    Args:
        image: (B, 1, *spatial) in [-1, 1]; may be overwritten.
        draws: by name, a number an image: "blur" (standard deviation, voxels), "gamma", "gain" and "offset" (of the
            image), "noise" (standard deviation) with "noise_seed". Those missing change nothing.
    """
    shape = [-1] + [1] * (image.ndim - 1)

    def drawn(name: str) -> torch.Tensor:
        values = torch.from_numpy(draws[name])
        return values.to(image.device, image.dtype, non_blocking=True).view(shape)

    if "blur" in draws:
        image = blur(image, draws["blur"])
    if "gamma" in draws:  # 2 ((x + 1) / 2) ** gamma - 1; a logarithm and an exponential are faster than a power
        gamma = drawn("gamma")
        image = image.clamp_(-1, 1).log1p_().mul_(gamma).add_(math.log(2) * (1 - gamma)).exp_().sub_(1)
    if "gain" in draws:
        image = image.mul_(drawn("gain")).add_(drawn("offset"))
    if "noise" in draws:
        generator = torch.Generator(image.device).manual_seed(int(draws["noise_seed"][0]))
        noise = torch.empty_like(image).normal_(generator=generator)
        image = image.addcmul_(noise, drawn("noise"))
    return image.clamp_(-1, 1)


def blur(image: torch.Tensor, sigmas: NDArray[np.float64]) -> torch.Tensor:
    """Gaussian blur of images (B, C, *spatial), each with its own standard deviation in voxels; edges are repeated."""
    reach = max(1, math.ceil(REACH * float(sigmas.max(initial=0))))
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (steps / np.maximum(sigmas, 1e-3)[:, None]) ** 2)
    kernel[kernel < 1e-9] = 0  # changes no sum, and as subnormal numbers would be slow
    kernel /= kernel.sum(1, keepdims=True)
    weights = torch.from_numpy(kernel).to(image.device, image.dtype, non_blocking=True)
    for axis in range(2, image.ndim):
        pad = [0, 0] * (image.ndim - 1 - axis) + [reach, reach] + [0, 0] * (axis - 2)
        padded = functional.pad(image, pad, mode="replicate")
        shifted = [padded.narrow(axis, step, image.shape[axis]) for step in range(2 * reach + 1)]
        taps = [weight.view([-1] + [1] * (image.ndim - 1)) for weight in weights.unbind(1)]
        image = shifted[0] * taps[0]
        for part, weight in zip(shifted[1:], taps[1:], strict=True):
            image.addcmul_(part, weight)
    return image
