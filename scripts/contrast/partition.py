"""The log-sum-exp of an anchor's similarities to all others, by tiles: exact, with memory linear in the batch.

The similarity matrix of N unit vectors is never stored: its tiles are computed, used and overwritten. In the symmetric
part, anchors against anchors, each tile above the diagonal also serves as its transpose. Backward computes the tiles
again. For ``torch.compile`` both passes are custom operators, which a graph calls as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

SIDE = {"cpu": 384}  # of a tile, small enough to stay in cache
WIDE_SIDE = 1024  # elsewhere, for fewer kernel launches, of a small batch
ROWS_A_TILE = 256  # of a large batch: a tile holds as many numbers a vector, so that memory stays linear in the batch
SHARP = 64.0  # up to this 1/temperature, exp of a similarity and its sums are ordinary float32 numbers
LIBRARY = __name__.partition(".")[0]  # the package may be imported under two names


@dataclass(frozen=True)
class _Tile:
    """Rows a..b of the similarity matrix against columns c..d."""

    a: int
    b: int
    c: int
    d: int

    @property
    def diagonal(self) -> bool:
        """Whether it lies on the matrix's diagonal."""
        return self.a == self.c

    def mirrored(self, rows: int) -> bool:
        """Whether it also serves as its transpose, which is not visited."""
        return self.a < self.c < rows


def tile_side(device: torch.device, vectors: int) -> int:
    """Rows and columns of a tile: on a CPU as the cache allows, elsewhere more of them in a larger batch.

    Launches of kernels then grow as the batch does, not as its square.
    """
    wide = math.isqrt(ROWS_A_TILE * vectors)
    return SIDE.get(device.type, max(WIDE_SIDE, wide - wide % 128))  # as matrix units like it


def _blocks(start: int, stop: int, side: int) -> list[tuple[int, int]]:
    return [(first, min(first + side, stop)) for first in range(start, stop, side)]


def _tiles(rows: int, start: int, stop: int, side: int) -> Iterator[_Tile]:
    """Tiles of anchors 0..rows against columns start..stop."""
    own, others = _blocks(start, min(rows, stop), side), _blocks(max(start, rows), stop, side)
    for a, b in _blocks(0, rows, side):
        for c, d in own:
            if c >= a:
                yield _Tile(a, b, c, d)
        for c, d in others:
            yield _Tile(a, b, c, d)


class _Similarities:
    """Logits of one tile after another, in the same memory.

    Args:
        z: unit vectors (K, D), the anchors first.
        scale: 1/temperature, a scalar tensor.
        groups: (K,) group of each; only pairs within a group count. None: all pairs do.
        intensity: (K,) in [0, 1]; a pair's logit s becomes 1/T + (1 - |m_i - m_j|)(s - 1/T). None: unweighted.
        binary: scale logits for exp2, several times faster on a CPU than exp.
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
        self.side = tile_side(z.device, len(z))
        self.area = min(self.side, len(z)) ** 2
        self.logits = z.new_empty(self.area)
        self.scratch_memory = z.new_empty(self.area)

    def scratch(self, tile: _Tile) -> torch.Tensor:
        """A second buffer of a tile's size; holds |m_i - m_j| where there are intensities."""
        height, width = tile.b - tile.a, tile.d - tile.c
        return self.scratch_memory[: height * width].view(height, width)

    def __call__(self, tile: _Tile) -> torch.Tensor:
        height, width = tile.b - tile.a, tile.d - tile.c
        logits = self.logits[: height * width].view(height, width)
        torch.mm(self.z[tile.a : tile.b] * self.scale, self.z[tile.c : tile.d].T, out=logits)
        if self.intensity is not None:
            difference = self.scratch(tile)
            torch.sub(self.intensity[tile.a : tile.b, None], self.intensity[tile.c : tile.d], out=difference)
            torch.lerp(logits, self.scale, difference.abs_(), out=logits)
        if self.groups is not None:
            logits.masked_fill_(self.groups[tile.a : tile.b, None] != self.groups[tile.c : tile.d], -math.inf)
        if tile.diagonal:
            logits.fill_diagonal_(-math.inf)  # a vector is neither positive nor negative of itself
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

    It is -inf for an anchor without any other. With ``sharp``, 1/temperature may exceed ``SHARP``: each sum is then
    shifted by its own largest logit, which takes longer.
    """
    logits = _Similarities(z, scale, groups, intensity, binary=not sharp)
    total = z.new_full((rows,), -math.inf if sharp else 0)
    for tile in _tiles(rows, 0, len(z), logits.side):
        pairs, rows_total, columns_total = logits(tile), total[tile.a : tile.b], total[tile.c : tile.d]
        if sharp:
            torch.logaddexp(rows_total, pairs.logsumexp(1), out=rows_total)
            if tile.mirrored(rows):
                torch.logaddexp(columns_total, pairs.logsumexp(0), out=columns_total)
        else:
            rows_total += pairs.exp2_().sum(1)
            if tile.mirrored(rows):
                columns_total += pairs.sum(0)
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
        scale: 1/temperature, a scalar tensor.
        rows: anchors of this process.
        live: anchors of all processes.
        groups: as in ``log_partition``, as are ``intensity`` and ``sharp``.
        intensity: see there.
        sharp: see there.
        log_sums: (live,) log-sum-exp of all anchors, whichever process computed them.
        gradient: (live,) gradient of each.

    Scale's gradient is this process's share: the shares of all processes sum to the whole.
    """
    logits = _Similarities(z, scale, groups, intensity, binary=not sharp)
    infinite = torch.full_like(log_sums[:1], math.inf)
    log_sums = torch.cat([log_sums.masked_fill(log_sums == -math.inf, math.inf), infinite.expand(len(z) - live)])
    gradient = torch.cat([gradient, torch.zeros_like(infinite).expand(len(z) - live)])
    share = gradient * torch.exp(-log_sums)  # each anchor's factor in its pairs, without exp of the pair's logit
    dz = z.new_zeros(rows, z.shape[1])
    weighted, d_scale = z.new_zeros(()), z.new_zeros(())

    def visit(start: int, stop: int, weight: float) -> None:
        for tile in _tiles(rows, start, stop, logits.side):
            pairs = logits(tile)
            row, column = slice(tile.a, tile.b), slice(tile.c, tile.d)
            if sharp:
                both = torch.exp(pairs - log_sums[row, None]).mul_(gradient[row, None])
                both += torch.exp(pairs - log_sums[column]).mul_(gradient[column])
            else:
                both = pairs.exp2_()
            if intensity is not None:
                both.addcmul_(both, logits.scratch(tile), value=-1)
            if not sharp:
                both *= torch.add(share[row, None], share[column], out=logits.scratch(tile))
            dz[row].addmm_(both, z[column])
            if tile.mirrored(rows):
                dz[column].addmm_(both.T, z[row])
            if intensity is not None:
                weighted.add_(both.sum(), alpha=1.0 if tile.mirrored(rows) else weight)

    visit(0, live, 0.5)  # each pair of anchors is visited from both sides
    d_scale -= 0.5 * torch.dot(dz.flatten(), z[:rows].flatten())
    visit(live, len(z), 1.0)
    d_scale += torch.dot(dz.flatten(), z[:rows].flatten())
    if intensity is not None:
        d_scale += gradient[:rows].sum() - weighted
    return dz.mul_(scale.to(dz.dtype)), d_scale


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
