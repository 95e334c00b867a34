"""Changes of intensity, a different one for each image of a batch, on the batch's device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

SLAB = 1 << 17  # voxels
REACH = 3  # standard deviations a blur looks to each side


def slabs(batch: torch.Tensor) -> list[slice]:
    """Parts of a batch (B, ...) to be worked on one after the other: on a CPU as much as stays in its cache, else all.

    Several changes of a part that is in the cache take a fraction of the time of as many passes over the memory.
    """
    count = len(batch)
    step = max(1, SLAB * count // max(1, batch.numel())) if batch.device.type == "cpu" else max(1, count)
    return [slice(start, start + step) for start in range(0, count, step)]


def change_intensities(image: torch.Tensor, draws: Mapping[str, NDArray[np.float64]]) -> torch.Tensor:
    """Apply the drawn changes in this order: blur, gamma, gain and offset, noise; then clip to [-1, 1].

    Args:
        image: (B, C, *spatial) in [-1, 1]; is overwritten.
        draws: by name, a number an image: "blur" (standard deviation, voxels), "gamma", "gain" and "offset" (of the
            image), "noise" (standard deviation) with "noise_seed". Those missing change nothing.
    """
    numbers = {name: draws[name] for name in ("gamma", "gain", "offset", "noise") if name in draws}
    if "gamma" in draws:
        numbers["doubled"] = math.log(2) * (1 - draws["gamma"])
        if "gain" in draws:
            numbers["offset"] = draws["offset"] - draws["gain"]
    drawn = {name: _sent(values, image).view(-1, *[1] * (image.ndim - 1)) for name, values in numbers.items()}
    parts = slabs(image)
    scratch = image.new_empty(2, *image[parts[0]].shape) if parts else image
    if "blur" in draws:
        kernels = _sent(_kernels(draws["blur"]), image)
    if "noise" in draws:
        generator = torch.Generator(image.device).manual_seed(int(draws["noise_seed"][0]))
    nothing = torch.finfo(image.dtype).tiny ** 0.5  # a logarithm of 0, that is of air, takes many times as long
    for part in parts:
        changed = image[part]
        free = scratch[:, : len(changed)]
        if "blur" in draws:
            _blur(changed, kernels[part], free, changed)
        if "gamma" in draws:  # 2 ((x + 1) / 2) ** gamma
            changed.add_(1).clamp_(nothing, 2).log_().mul_(drawn["gamma"][part]).add_(drawn["doubled"][part]).exp_()
        if "gain" in draws:
            changed.mul_(drawn["gain"][part]).add_(drawn["offset"][part])
        elif "gamma" in draws:
            changed.sub_(1)
        if "noise" in draws:
            changed.add_(free[0].normal_(generator=generator).mul_(drawn["noise"][part]))
        changed.clamp_(-1, 1)
    return image


def _sent(values: NDArray[np.float64], image: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values).to(image.device, image.dtype, non_blocking=True)


def blur(image: torch.Tensor, sigmas: NDArray[np.float64]) -> torch.Tensor:
    """Gaussian blur of images (B, C, *spatial), each with its own standard deviation in voxels; edges are repeated."""
    blurred = torch.empty_like(image, memory_format=torch.contiguous_format)
    _blur(image, _sent(_kernels(sigmas), image), image.new_empty(2, *image.shape), blurred)
    return blurred


def _kernels(sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussians (B, taps) that reach as far for all as the widest needs."""
    reach = max(1, math.ceil(REACH * float(sigmas.max(initial=0))))
    steps = np.arange(-reach, reach + 1)
    kernels = np.exp(-0.5 * (steps / np.maximum(sigmas, 1e-3)[:, None]) ** 2)
    kernels[kernels < 1e-20] = 0  # below any rounding, and subnormal numbers would be slow
    return kernels / kernels.sum(1, keepdims=True)


def _blur(image: torch.Tensor, kernels: torch.Tensor, scratch: torch.Tensor, out: torch.Tensor) -> None:
    """Blur images (B, C, *spatial) into ``out``, which may be the images, by kernels (B, taps).

    An axis is blurred by one product with a matrix, on a CPU as on a GPU faster than a sum over shifted images.
    """
    shape = image.shape
    matrices = {size: _blur_matrix(kernels, size) for size in set(shape[2:])}
    for axis in range(2, image.ndim - 1):
        into = scratch[axis % 2]
        lead = [*shape[:1], -1, shape[axis], math.prod(shape[axis + 1 :])]
        torch.matmul(matrices[shape[axis]][:, None], image.reshape(lead), out=into.view(lead))
        image = into
    lead = [*shape[:1], -1, shape[-1]]
    torch.bmm(image.reshape(lead), matrices[shape[-1]].mT, out=out.view(lead))


def _blur_matrix(kernels: torch.Tensor, size: int) -> torch.Tensor:
    """Matrices (B, size, size) that blur an axis by kernels (B, taps); each row repeats the ends beyond them."""
    count, taps = kernels.shape
    reach, width = taps // 2, size + taps - 1
    band = kernels.new_zeros(count, size, width)  # over the axis and what is beyond its ends
    band.as_strided([count, size, taps], [size * width, width + 1, 1]).copy_(kernels[:, None])
    matrix = band[:, :, reach : reach + size]
    matrix[:, :, 0] += band[:, :, :reach].sum(2)
    matrix[:, :, -1] += band[:, :, reach + size :].sum(2)
    return matrix
