"""Intensity augmentation, different for each image of a batch, on the batch's device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from .blur import Gaussians
from .noise import Noise

THREAD_VOXELS = 1 << 17  # voxels per CPU thread that are processed at once


def slabs(batch: torch.Tensor) -> list[slice]:
    """Slices of a batch (B, ...) to be processed in turn: on a CPU as much as fits its cache, elsewhere everything.

    Several operations on a slice in the cache take a fraction of the time of as many passes over the whole memory.
    """
    count = len(batch)
    most = THREAD_VOXELS * torch.get_num_threads() if batch.device.type == "cpu" else batch.numel()
    step = max(1, most * count // max(1, batch.numel()))
    return [slice(start, start + step) for start in range(0, count, step)]


class Intensities:
    """Intensity changes of a batch, in this order: blur, gamma, gain and offset, noise; then clipping to [-1, 1].

    The channels of an image are changed alike, so that colours stay; noise is independent for each channel.

    Args:
        image: (B, C, *spatial), for its device, dtype and number of axes.
        draws: random parameters by name, one number per image: "blur" (standard deviation, voxels), "gamma", "gain" and
            "offset", "noise" (standard deviation) with "noise_seed". Whatever is missing is left out.
        blurred: how many of the last axes have been blurred already.
        base: value that was subtracted from the images, such as that of air where the surroundings must be 0.
    """

    def __init__(
        self, image: torch.Tensor, draws: Mapping[str, NDArray[np.float64]], blurred: int = 0, base: float = 0
    ) -> None:
        count = len(image)
        gain, offset = draws.get("gain", np.ones(count)), draws.get("offset", np.zeros(count))
        numbers = {}
        if "gamma" in draws:  # gain (2 ((x + 1) / 2) ** gamma - 1) + offset, by logarithms
            factor = math.log(2) * (1 - draws["gamma"]) + np.log(gain)
            numbers = {"gamma": draws["gamma"], "factor": factor, "offset": offset - gain}
        elif "gain" in draws or base:
            numbers = {"gain": gain, "offset": offset + gain * base}
        if "noise" in draws:
            numbers["noise"] = draws["noise"]
        self.names = list(numbers)
        values = np.array(list(numbers.values())).reshape(len(numbers), count, *[1] * (image.ndim - 1))
        self.numbers = torch.from_numpy(values).to(image.device, image.dtype, non_blocking=True)
        self.tiny = torch.finfo(image.dtype).tiny ** 0.5
        self.base = base
        self.axes = range(2, image.ndim - blurred)
        self.gaussians = Gaussians(draws["blur"], image) if "blur" in draws else None
        self.noise = Noise(draws["noise_seed"], image.device) if "noise" in draws else None
        self.buffer: torch.Tensor | None = None

    def change(self, image: torch.Tensor, part: slice, out: torch.Tensor) -> None:
        """Write the changed images of a part of the batch into ``out``; ``image`` is overwritten.

        Args:
            image: (b, C, *spatial) in [-1, 1], contiguous.
            part: which images of the batch these are.
            out: of the same shape; may be ``image``.
        """
        numbers = dict(zip(self.names, self.numbers[:, part].unbind(), strict=True))
        if self.buffer is None or len(self.buffer) != len(image):
            self.buffer = torch.empty_like(image, memory_format=torch.contiguous_format)
        free = self.buffer
        if self.gaussians is not None and not self.gaussians.still[part].all():
            for axis in self.axes:
                image, free = self.gaussians.along(axis, image, free, part), image
        if "gamma" in numbers:  # the logarithm of 0, of air, would take many times as long
            if self.base != -1:
                image.add_(self.base + 1)
            image.clamp_(self.tiny, 2).log_().mul_(numbers["gamma"]).add_(numbers["factor"]).exp_()
        if "gain" in numbers:
            image.mul_(numbers["gain"])
        if "offset" in numbers:
            image.add_(numbers["offset"])
        if self.noise is not None:
            image.add_(self.noise.fill(free, part).mul_(numbers["noise"]))
        torch.clamp(image, -1, 1, out=out)
