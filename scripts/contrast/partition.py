"""The log-sum-exp of an anchor's similarities to all others, by tiles: exact, with memory linear in the batch.

The similarity matrix of N unit vectors is never held: tiles of it are computed, used and overwritten. Of the anchors'
own, symmetric part each pair of tiles is computed once and serves its rows and its columns. Backward computes the tiles
again. For ``torch.compile`` both passes are operators of their own, which a graph calls as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

SIDE = {"cpu": 384}  # of a tile; where the passes over it stay in cache
WIDE_SIDE = 1024  # elsewhere: fewer launches
SHARP = 64.0  # up to this 1/temperature, exp of a similarity and its sums are ordinary float32 numbers
LIBRARY = __name__.partition(".")[0]  # the package may be imported under two names


@dataclass(frozen=True)
class _Tile:
    """Rows a..b against keys c..d; ``twin``: the transposed tile is not visited, this one serves both."""

    a: int
    b: int
    c: int
    d: int

    @property
    def diagonal(self) -> bool:
        return self.a == self.c

    def twin(self, rows: int) -> bool:
        return self.a < self.c < rows


def _blocks(start: int, stop: int, side: int) -> list[tuple[int, int]]:
    return [(first, min(first + side, stop)) for first in range(start, stop, side)]


def _tiles(rows: int, start: int, stop: int, side: int) -> Iterator[_Tile]:
    """Tiles of the anchors 0..rows against the keys start..stop."""
    own, more = _blocks(start, min(rows, stop), side), _blocks(max(start, rows), stop, side)
    for a, b in _blocks(0, rows, side):
        for c, d in own:
            if c >= a:
                yield _Tile(a, b, c, d)
        for c, d in more:
            yield _Tile(a, b, c, d)


class _Similarities:
    """Logits of one tile after the other in the same memory.

    Args:
        z: unit vectors (K, D), the anchors first.
        scale: 1/temperature, a scalar tensor.
        groups: (K,) group of each; only pairs of one group count. None: all do.
        intensity: (K,) in [0, 1]; a pair's logit s becomes 1/T + (1 - |m_i - m_j|)(s - 1/T). None: unweighted.
        binary: logits for exp2, which is several times faster than exp on a CPU, instead of exp.
    """

    def __init__(
        self,
        z: torch.Tensor,
        scale: torch.Tensor,
        groups: torch.Tensor | None,
        intensity: torch.Tensor | None,
        binary: bool,
    ) -> None:
        self.z, self.groups, self.intensity = z, groups, intensity
        self.scale = (scale * (1 / math.log(2) if binary else 1)).to(z.dtype)
        self.side = SIDE.get(z.device.type, WIDE_SIDE)
        self.area = min(self.side, len(z)) ** 2
        self.logit = z.new_empty(self.area)
        self.other = z.new_empty(self.area)

    def scratch(self, tile: _Tile) -> torch.Tensor:
        """A second tile of memory; holds |m_i - m_j| when there are intensities."""
        height, width = tile.b - tile.a, tile.d - tile.c
        return self.other[: height * width].view(height, width)

    def __call__(self, tile: _Tile) -> torch.Tensor:
        height, width = tile.b - tile.a, tile.d - tile.c
        logits = self.logit[: height * width].view(height, width)
        torch.mm(self.z[tile.a : tile.b] * self.scale, self.z[tile.c : tile.d].T, out=logits)
        if self.intensity is not None:
            apart = self.scratch(tile)
            torch.sub(self.intensity[tile.a : tile.b, None], self.intensity[tile.c : tile.d], out=apart)
            torch.lerp(logits, self.scale, apart.abs_(), out=logits)
        if self.groups is not None:
            logits.masked_fill_(self.groups[tile.a : tile.b, None] != self.groups[tile.c : tile.d], -math.inf)
        if tile.diagonal:
            logits.fill_diagonal_(-math.inf)  # no vector is its own positive or negative
        return logits


def log_partition(
    z: torch.Tensor,
    scale: torch.Tensor,
    rows: int,
    groups: torch.Tensor | None,
    intensity: torch.Tensor | None,
    sharp: bool,
) -> torch.Tensor:
    """Log-sum-exp (rows,) of the logits of each of the first ``rows`` vectors of z (K, D) to all others.

    -inf for an anchor that has no other. ``sharp``: 1/temperature may exceed ``SHARP``; each sum is then shifted by its
    own largest logit, which takes longer.
    """
    logits = _Similarities(z, scale, groups, intensity, binary=not sharp)
    total = z.new_full((rows,), -math.inf if sharp else 0)
    for tile in _tiles(rows, 0, len(z), logits.side):
        pairs, here, there = logits(tile), total[tile.a : tile.b], total[tile.c : tile.d]
        if sharp:
            torch.logaddexp(here, pairs.logsumexp(1), out=here)
            if tile.twin(rows):
                torch.logaddexp(there, pairs.logsumexp(0), out=there)
        else:
            here += pairs.exp2_().sum(1)
            if tile.twin(rows):
                there += pairs.sum(0)
    return total if sharp else total.log_()


def log_partition_backward(
    z: torch.Tensor,
    scale: torch.Tensor,
    rows: int,
    live: int,
    groups: torch.Tensor | None,
    intensity: torch.Tensor | None,
    sharp: bool,
    log_sums: torch.Tensor,
    gradient: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of sum(gradient * log_partition) for z's first ``rows`` vectors, (rows, D), and for scale.

    Args:
        z: unit vectors (K, D): ``rows`` of this process, those of other processes up to ``live``, then constants.
        log_sums: (live,) log-sum-exp of all anchors, whichever process computed them.
        gradient: (live,) of each.

    Scale's gradient is this process's share: the shares of all processes sum to the whole.
    """
    logits = _Similarities(z, scale, groups, intensity, binary=not sharp)
    never = torch.full_like(log_sums[:1], math.inf)
    log_sums = torch.cat([log_sums.masked_fill(log_sums == -math.inf, math.inf), never.expand(len(z) - live)])
    gradient = torch.cat([gradient, torch.zeros_like(never).expand(len(z) - live)])
    share = gradient * torch.exp(-log_sums)  # of each anchor in its pairs, but for exp of the pair's logit
    dz = z.new_zeros(rows, z.shape[1])
    mass, turning = z.new_zeros(()), z.new_zeros(())

    def visit(start: int, stop: int, weight: float) -> None:
        for tile in _tiles(rows, start, stop, logits.side):
            pairs = logits(tile)
            here, there = slice(tile.a, tile.b), slice(tile.c, tile.d)
            if sharp:
                both = torch.exp(pairs - log_sums[here, None]).mul_(gradient[here, None])
                both += torch.exp(pairs - log_sums[there]).mul_(gradient[there])
            else:
                both = pairs.exp2_()
            if intensity is not None:
                both.addcmul_(both, logits.scratch(tile), value=-1)
            if not sharp:
                both *= torch.add(share[here, None], share[there], out=logits.scratch(tile))
            dz[here].addmm_(both, z[there])
            if tile.twin(rows):
                dz[there].addmm_(both.T, z[here])
            if intensity is not None:
                mass.add_(both.sum(), alpha=1.0 if tile.twin(rows) else weight)

    visit(0, live, 0.5)  # a pair of anchors is met from both sides
    turning -= 0.5 * torch.dot(dz.flatten(), z[:rows].flatten())
    visit(live, len(z), 1.0)
    turning += torch.dot(dz.flatten(), z[:rows].flatten())
    if intensity is not None:
        turning += gradient[:rows].sum() - mass
    return dz.mul_(scale.to(dz.dtype)), turning


compiled_log_partition = torch.library.custom_op(f"{LIBRARY}::log_partition", log_partition, mutates_args=())
compiled_log_partition_backward = torch.library.custom_op(
    f"{LIBRARY}::log_partition_backward", log_partition_backward, mutates_args=()
)


@compiled_log_partition.register_fake
def _(z: torch.Tensor, scale: torch.Tensor, rows: int, *others: Any) -> torch.Tensor:
    return z.new_empty(rows)


@compiled_log_partition_backward.register_fake
def _(z: torch.Tensor, scale: torch.Tensor, rows: int, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return z.new_empty(rows, z.shape[1]), z.new_empty(())
