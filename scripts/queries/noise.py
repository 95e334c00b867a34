"""Gaussian noise, generated on a CPU twice as fast as by torch where single precision is enough."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray

LEVELS = 1 << 16
EVERY_IMAGE = slice(None)  # of a batch


class Noise:
    """Independent standard normal numbers from one seed per image, reproducible for equal seed, shape and device.

    On a GPU, and in double precision, they are those of ``torch.randn``. Otherwise, since a CPU generates those one
    after another, each is the normal quantile of 16 random bits: one of 65,536 equally likely levels, the outermost at
    4.3; mean 0, variance 1. The distribution function is off by no more than 1 in 100,000.

    Args:
        seeds: (B,), one per image, so that its noise does not depend on the batch or the number of ranks.
        device: where the numbers are generated.
    """

    def __init__(self, seeds: NDArray[np.integer | np.floating], device: torch.device) -> None:
        self.seeds, self.generator = seeds.astype(np.int64).tolist(), torch.Generator(device)

    def fill(self, out: torch.Tensor, part: slice = EVERY_IMAGE) -> torch.Tensor:
        """Overwrite a contiguous tensor (B, ...) with the noise of ``part`` of the images."""
        seeds = self.seeds[part]
        if out.device.type != "cpu" or out.dtype == torch.float64:
            for image, seed in zip(out, seeds, strict=True):
                image.normal_(generator=self.generator.manual_seed(seed))
            return out
        each = out[0].numel()
        bits = torch.empty(len(out), -(-each // 4), dtype=torch.int64)
        for image, seed in zip(bits, seeds, strict=True):
            image.random_(-(2**63), None, generator=self.generator.manual_seed(seed))
        level = bits.view(torch.uint16)[:, :each].int()
        torch.index_select(torch.from_numpy(_quantiles()).to(out.dtype), 0, level.view(-1), out=out.view(-1))
        return out


@cache
def _quantiles() -> NDArray[np.float32]:
    """The normal quantile in the middle of each level, scaled to variance 1."""
    quantile = NormalDist().inv_cdf
    levels = np.array([quantile((level + 0.5) / LEVELS) for level in range(LEVELS)])
    return np.asarray(levels / np.sqrt(np.mean(levels**2)), np.float32)
