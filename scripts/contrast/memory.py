"""A memory of embeddings of earlier batches: more to compare with than one batch holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import SemclError


class QueryMemory(nn.Module):
    """The latest unit embeddings of earlier batches with their labels, as constants (cross-batch memory).

    See arXiv 1912.06798. ``torch.compile`` leaves it out of its graphs, since its counters change at each step.

    Args:
        size: M, the number of embeddings that are kept.
        embedding: D, their length.

    Raises:
        SemclError: when either is not positive.
    """

    def __init__(self, size: int, embedding: int) -> None:
        super().__init__()
        if min(size, embedding) < 1:
            raise SemclError(
                "a memory must hold something",
                found=f"size {size}, embedding {embedding}",
                expected="at least 1 each",
                remedy="raise them, or use no memory",
            )
        self.vectors: torch.Tensor
        self.labels: torch.Tensor
        self.intensity: torch.Tensor
        self.register_buffer("vectors", torch.zeros(size, embedding))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("intensity", torch.zeros(size))
        self.filled, self.next = 0, 0

    def get_extra_state(self) -> dict[str, int]:
        """The counters, for checkpoints."""
        return {"filled": self.filled, "next": self.next}

    def set_extra_state(self, state: Any) -> None:
        """Restore the counters from a checkpoint."""
        self.filled, self.next = state["filled"], state["next"]

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch's has no types
    def read(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Stored vectors (m, D), labels (m,) and intensities (m,), with m up to M."""
        return self.vectors[: self.filled], self.labels[: self.filled], self.intensity[: self.filled]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def write(self, vectors: torch.Tensor, labels: torch.Tensor, intensity: torch.Tensor | None) -> None:
        """Store these (n, D), (n,), (n,) in place of the oldest; of more than M only the last M."""
        size = len(self.vectors)
        count = min(len(vectors), size)
        where = (self.next + torch.arange(count, device=self.vectors.device)) % size
        self.vectors[where] = vectors[-count:].to(self.vectors.dtype)
        self.labels[where] = labels[-count:]
        if intensity is not None:
            self.intensity[where] = intensity[-count:].to(self.intensity.dtype)
        self.next = (self.next + count) % size
        self.filled = min(self.filled + count, size)
