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
    if "gamma" in draws:
        image = image.add_(1).div_(2).clamp_(0, 1).pow_(drawn("gamma")).mul_(2).sub_(1)
    if "gain" in draws:
        image = torch.addcmul(drawn("offset"), image, drawn("gain"))
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
    kernel /= kernel.sum(1, keepdims=True)
    weights = torch.from_numpy(kernel).to(image.device, image.dtype, non_blocking=True)
    for axis in range(2, image.ndim):
        pad = [0, 0] * (image.ndim - 1 - axis) + [reach, reach] + [0, 0] * (axis - 2)
        padded = functional.pad(image, pad, mode="replicate")
        blurred = torch.zeros_like(image)
        for step in range(2 * reach + 1):
            part = padded.narrow(axis, step, image.shape[axis])
            blurred.addcmul_(part, weights[:, step].view([-1] + [1] * (image.ndim - 1)))
        image = blurred
    return image
