"""Numerator and denominator of a contrastive loss for each anchor, and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from . import partition
from .gather import Communicator

CHUNK_ROWS = 512  # processed at once where that needs a copy of them
SHORTEST = 1e-12  # length below which an embedding has no direction


def readable_without_sync(tensor: torch.Tensor) -> bool:
    """Whether the host can read a tensor's values without waiting for its device."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


@dataclass(frozen=True)
class Groups:
    """Groups of equal labels, found without synchronising host and device.

    Attributes:
        number: (K,) group of each label, from 0.
        order: (K,) indices of the members, group after group.
        starts: where each group starts in ``order``; on an accelerator (K,), with K for numbers beyond the last group.
        size: (K,) number of members of each label's group.
    """

    number: torch.Tensor
    order: torch.Tensor
    starts: torch.Tensor
    size: torch.Tensor

    @classmethod
    def from_labels(cls, labels: torch.Tensor) -> Groups:
        """Group labels (K,)."""
        ordered, order = labels.sort(stable=True)
        changes = torch.zeros_like(order)
        changes[1:] = ordered[1:] != ordered[:-1]
        along = changes.cumsum(0)
        number = torch.empty_like(along).scatter_(0, order, along)
        starts = torch.searchsorted(along, torch.arange(len(labels) + 1, device=labels.device))
        known = readable_without_sync(labels) and len(labels) > 0
        groups = int(along[-1]) + 1 if known else len(labels)
        return cls(number, order, starts[:groups], starts.diff().index_select(0, number))

    def sum(self, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Sums (groups, D) of each group's rows (K, D), weighted by weights (K,) if given; one row per group."""
        along = None if weights is None else weights.index_select(0, self.order)
        return functional.embedding_bag(self.order, rows, self.starts, mode="sum", per_sample_weights=along)


@dataclass(frozen=True)
class Batch:
    """All embeddings that the anchors of this process are compared with.

    Attributes:
        z: unit vectors (K, D): this process's n, the other ranks' up to L, then those of a memory up to K.
        lengths: (n, 1) norms that this process's embeddings were divided by.
        groups: of all K labels.
        positives: (L,) number of positives of each anchor.
        intensity: (K,) for pair weights, or None.
        communicator: exchanges the L rows among the ranks.
    """

    z: torch.Tensor
    lengths: torch.Tensor
    groups: Groups
    positives: torch.Tensor
    intensity: torch.Tensor | None
    communicator: Communicator


class Terms(torch.autograd.Function):
    """Numerator and denominator (L,), in logs, from embeddings (n, D): for the anchors of all ranks, this one's first.

    The numerator is the mean cosine similarity to an anchor's positives (0 without any) or, with ``inside``, the
    log-sum-exp of their logits; the denominator is the log-sum-exp of the logits of all other embeddings.

    The gradient is that of the whole batch for this rank's embeddings, times the number of ranks, since
    DistributedDataParallel will divide by it; scale's gradient is the same on all ranks and needs no such factor.
    """

    @staticmethod
    def forward(
        ctx: Any, embeddings: torch.Tensor, scale: torch.Tensor, batch: Batch, inside: bool, sharp: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        communicator, rows = batch.communicator, len(embeddings)
        compiling = torch.compiler.is_compiling()
        log_partition = partition.compiled_log_partition if compiling else partition.log_partition

        def of_all_ranks(groups: torch.Tensor | None, intensity: torch.Tensor | None) -> torch.Tensor:
            return communicator.gather(log_partition(batch.z, scale, rows, groups, intensity, sharp))

        numerator = of_all_ranks(batch.groups.number, None) if inside else _mean_cosine(batch)
        denominator = of_all_ranks(None, batch.intensity)
        ctx.batch, ctx.inside, ctx.sharp, ctx.dtype = batch, inside, sharp, embeddings.dtype
        ctx.save_for_backward(scale, numerator, denominator)
        return numerator, denominator

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_numerator: torch.Tensor, d_denominator: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scale, numerator, denominator = ctx.saved_tensors
        batch: Batch = ctx.batch
        z, communicator, rows = batch.z, batch.communicator, len(batch.lengths)
        compiling = torch.compiler.is_compiling()
        log_partition_backward = (
            partition.compiled_log_partition_backward if compiling else partition.log_partition_backward
        )

        def back(
            groups: torch.Tensor | None, intensity: torch.Tensor | None, value: torch.Tensor, gradient: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return log_partition_backward(
                z, scale, rows, communicator.rows, groups, intensity, ctx.sharp, value, gradient
            )

        with torch.autocast(z.device.type, enabled=False):  # it may be on during backward too
            dz, d_scale = back(None, batch.intensity, denominator, d_denominator)
            if ctx.inside:
                more, scale_more = back(batch.groups.number, None, numerator, d_numerator)
                dz, d_scale = dz.add_(more), d_scale + scale_more
            else:
                _mean_cosine_backward(batch, d_numerator, dz)
            dz = unit_gradient(dz, z[:rows], batch.lengths)
        if ctx.needs_input_grad[1]:
            d_scale = communicator.sum(d_scale)
        return dz.mul_(len(communicator.sizes)).to(ctx.dtype), d_scale.to(scale.dtype), None, None, None


def unit_vectors(embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (n, D) normalised to unit length, at least float32, and their lengths (n, 1); no gradient."""
    exact = embeddings.detach()
    exact = exact if exact.dtype == torch.float64 else exact.float()
    lengths = torch.linalg.vector_norm(exact, dim=1, keepdim=True).clamp_min(SHORTEST)
    return exact / lengths, lengths


def unit_gradient(dz: torch.Tensor, z: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The gradient of embeddings, from dz (n, D), that of their unit vectors z, which is overwritten."""
    along = torch.linalg.vecdot(dz, z)[:, None]
    return dz.addcmul_(z, along, value=-1).div_(lengths).mul_(lengths > SHORTEST)


def _mean_cosine(batch: Batch) -> torch.Tensor:
    """Mean cosine (L,) of each anchor to its positives: z_i (sum of its group - z_i) / their number."""
    sums, count = batch.groups.sum(batch.z), batch.communicator.rows
    total = batch.z.new_empty(count)
    for rows in _chunks(count):
        others = sums.index_select(0, batch.groups.number[rows]).sub_(batch.z[rows])
        torch.linalg.vecdot(others, batch.z[rows], out=total[rows])
    return total.div_(batch.positives.clamp_min(1))


def _mean_cosine_backward(batch: Batch, gradient: torch.Tensor, dz: torch.Tensor) -> None:
    """Add the gradient of sum(gradient * _mean_cosine) for this rank's rows to dz.

    It is exact up to multiples of z, which normalisation to unit length removes again.
    """
    share = gradient / batch.positives.clamp_min(1)  # 0 without a positive, as its gradient is
    if len(batch.z) > len(share):
        share = functional.pad(share, (0, len(batch.z) - len(share)))
    sums = batch.groups.sum(batch.z)
    for rows in _chunks(len(dz)):
        dz[rows].addcmul_(sums.index_select(0, batch.groups.number[rows]), share[rows, None])
    del sums  # before the next one, for a lower peak of memory
    sums = batch.groups.sum(batch.z, share)
    for rows in _chunks(len(dz)):
        dz[rows] += sums.index_select(0, batch.groups.number[rows])


def _chunks(count: int) -> list[slice]:
    """Slices of ``CHUNK_ROWS`` rows."""
    return [slice(first, min(first + CHUNK_ROWS, count)) for first in range(0, count, CHUNK_ROWS)]
