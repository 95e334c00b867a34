"""Gaussian noise from one seed per image: on a CPU twice as fast as torch's, on a GPU a few launches for a batch."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray

LEVELS = 1 << 16
STRIDES = (0x1D8E4E27C47D124F, -0x61C8864680B583EB)  # odd, as 64 bits with a sign: between seeds, and between places
FINALIZER = ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15))  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
EVERY_IMAGE = slice(None)  # of a batch


class Noise:
    """Independent standard normal numbers from one seed per image, reproducible for equal seed, shape and device.

    On a CPU, which generates numbers one after another, each is the normal quantile of 16 random bits: one of 65,536
    equally likely levels, the outermost at 4.3; mean 0, variance 1. The distribution function is off by no more than 1
    in 100,000. On a GPU, and in double precision, each is the normal quantile of its seed and place, hashed
    (``normal_by_place``), all at once.

    Args:
        seeds: (B,), one per image, so that its noise does not depend on the batch or the number of ranks.
        device: where the numbers are generated.
    """

    def __init__(self, seeds: NDArray[np.integer | np.floating], device: torch.device) -> None:
        self.seeds = seeds.astype(np.int64)
        on_cpu = device.type == "cpu"
        self.generator = torch.Generator() if on_cpu else None
        self.of_batch = torch.from_numpy(self.seeds).to(device, non_blocking=True)

    def fill(self, out: torch.Tensor, part: slice = EVERY_IMAGE) -> torch.Tensor:
        """Overwrite a contiguous tensor (B, ...) with the noise of ``part`` of the images."""
        if self.generator is None or out.dtype == torch.float64:
            return out.copy_(normal_by_place(self.of_batch[part], out[0].numel(), out.dtype).view_as(out))
        each = out[0].numel()
        bits = torch.empty(len(out), -(-each // 4), dtype=torch.int64)
        for image, seed in zip(bits, self.seeds[part].tolist(), strict=True):
            image.random_(-(2**63), None, generator=self.generator.manual_seed(seed))
        level = bits.view(torch.uint16)[:, :each].int()
        torch.index_select(torch.from_numpy(_quantiles()).to(out.dtype), 0, level.view(-1), out=out.view(-1))
        return out


def normal_by_place(seeds: torch.Tensor, count: int, dtype: torch.dtype) -> torch.Tensor:
    """Standard normal numbers (B, count) of seeds (B,), each from its seed and place alone.

    Seed and place are hashed to 64 bits by the finalizer of SplitMix64 (Steele, Lea and Flood 2014); the number is the
    normal quantile of the highest of them: 52 bits in double precision, else 23, for at most 5.2.
    """
    bits = 52 if dtype == torch.float64 else 23
    state = (seeds * STRIDES[0])[:, None] + torch.arange(1, count + 1, device=seeds.device) * STRIDES[1]
    for shift, factor in FINALIZER:
        state = state.bitwise_xor_(_shifted(state, shift)).mul_(factor)
    state.bitwise_xor_(_shifted(state, 31))
    uniform = _shifted(state, 64 - bits).to(torch.float64 if bits == 52 else torch.float32)
    return uniform.add_(0.5).div_(2 ** (bits - 1)).sub_(1).erfinv_().mul_(math.sqrt(2))


def _shifted(state: torch.Tensor, places: int) -> torch.Tensor:
    """64 bits shifted to the right, zeros in front: integers of torch have a sign, and repeat it."""
    return (state >> places).bitwise_and_((1 << (64 - places)) - 1)


@cache
def _quantiles() -> NDArray[np.float32]:
    """The normal quantile in the middle of each level, scaled to variance 1."""
    quantile = NormalDist().inv_cdf
    levels = np.array([quantile((level + 0.5) / LEVELS) for level in range(LEVELS)])
    return np.asarray(levels / np.sqrt(np.mean(levels**2)), np.float32)
