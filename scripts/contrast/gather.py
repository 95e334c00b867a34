"""The batch of all ranks of a process group, seen from one of them: its own rows first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.nn import functional


@dataclass(frozen=True)
class Ranks:
    """How a batch is spread over processes.

    Attributes:
        sizes: rows of each rank.
        rank: this process's.
    """

    sizes: tuple[int, ...]
    rank: int = 0

    @classmethod
    def alone(cls, rows: int) -> Ranks:
        """One process holds the whole batch."""
        return cls((rows,))

    @classmethod
    def of_group(cls, rows: int, device: torch.device) -> Ranks:
        """All ranks of the default process group, which must call this together.

        They exchange their sizes, a host sync; without a process group there is one rank.
        """
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return cls.alone(rows)
        own = torch.tensor([rows], device=device)
        sizes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(sizes, own)
        return cls(tuple(torch.cat(sizes).tolist()), dist.get_rank())

    @property
    def start(self) -> int:
        """Rows of the ranks before this one."""
        return sum(self.sizes[: self.rank])

    @property
    def rows(self) -> int:
        """Rows of all ranks."""
        return sum(self.sizes)

    def gather(self, own: torch.Tensor) -> torch.Tensor:
        """Rows (L, ...) of all ranks, this one's (n, ...) first, the following ranks' after; without gradient."""
        own = own.detach()
        if len(self.sizes) == 1:
            return own
        longest = max(self.sizes)
        padded = functional.pad(own, [0, 0] * (own.ndim - 1) + [0, longest - len(own)]).contiguous()
        everyone = [torch.empty_like(padded) for _ in self.sizes]
        dist.all_gather(everyone, padded)
        rows = torch.cat([part[:size] for part, size in zip(everyone, self.sizes, strict=True)])
        return rows.roll(-self.start, 0)

    def in_order(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows as ``gather`` returns them, in the order of the ranks."""
        return rows if len(self.sizes) == 1 else rows.roll(self.start, 0)

    def sum(self, own: torch.Tensor) -> torch.Tensor:
        """Sum of a tensor over the ranks."""
        if len(self.sizes) > 1:
            dist.all_reduce(own)
        return own
