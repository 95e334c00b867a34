"""The batch of all ranks of a process group, as seen from one of them: its own rows first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.nn import functional


@dataclass(frozen=True)
class Communicator:
    """Exchanges the rows of a batch that is spread over ranks.

    Attributes:
        sizes: rows on each rank.
        rank: number of this one.
    """

    sizes: tuple[int, ...]
    rank: int = 0

    @classmethod
    def alone(cls, rows: int) -> Communicator:
        """A single process that holds the whole batch."""
        return cls((rows,))

    @classmethod
    def of_group(cls, rows: int, device: torch.device) -> Communicator:
        """All ranks of the default process group, which must call this together.

        They exchange the sizes of their batches, which synchronises the host; without a process group there is one
        rank.
        """
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return cls.alone(rows)
        own = torch.tensor([rows], device=device)
        sizes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(sizes, own)
        return cls(tuple(torch.cat(sizes).tolist()), dist.get_rank())

    @property
    def start(self) -> int:
        """Number of rows on the ranks before this one."""
        return sum(self.sizes[: self.rank])

    @property
    def rows(self) -> int:
        """Number of rows on all ranks."""
        return sum(self.sizes)

    def gather(self, own: torch.Tensor) -> torch.Tensor:
        """Rows (L, ...) of all ranks without gradient: this one's (n, ...) first, then those of the ranks after it."""
        own = own.detach()
        if len(self.sizes) == 1:
            return own
        longest = max(self.sizes)
        padded = functional.pad(own, [0, 0] * (own.ndim - 1) + [0, longest - len(own)]).contiguous()
        padded_rows = [torch.empty_like(padded) for _ in self.sizes]
        dist.all_gather(padded_rows, padded)
        rows = torch.cat([part[:size] for part, size in zip(padded_rows, self.sizes, strict=True)])
        return rows.roll(-self.start, 0)

    def in_order(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows as returned by ``gather``, put into the order of the ranks."""
        return rows if len(self.sizes) == 1 else rows.roll(self.start, 0)

    def sum(self, own: torch.Tensor) -> torch.Tensor:
        """Sum of a tensor over the ranks."""
        if len(self.sizes) > 1:
            dist.all_reduce(own)
        return own
