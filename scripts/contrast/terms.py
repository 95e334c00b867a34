"""What a contrastive loss asks of each anchor: how near its positives are, and how near everything is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from . import partition
from .gather import Ranks

ROWS = 512  # rows handled at once where it takes a copy of them
SHORTEST = 1e-12  # length of an embedding that still has a direction


def may_look(tensor: torch.Tensor) -> bool:
    """Whether values can be looked at without making host and device wait for each other."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


@dataclass(frozen=True)
class Groups:
    """Which of K labels are equal, found without a host sync.

    Attributes:
        number: (K,) group of each, from 0.
        order: (K,) the members, group after group.
        starts: where each group starts in ``order``; on an accelerator (K,), K for numbers that are no group.
        size: (K,) members of each one's group.
    """

    number: torch.Tensor
    order: torch.Tensor
    starts: torch.Tensor
    size: torch.Tensor

    @classmethod
    def of(cls, labels: torch.Tensor) -> Groups:
        ordered, order = labels.sort(stable=True)
        changes = torch.zeros_like(order)
        changes[1:] = ordered[1:] != ordered[:-1]
        along = changes.cumsum(0)
        number = torch.empty_like(along).scatter_(0, order, along)
        starts = torch.searchsorted(along, torch.arange(len(labels) + 1, device=labels.device))
        known = may_look(labels) and len(labels) > 0
        groups = int(along[-1]) + 1 if known else len(labels)
        return cls(number, order, starts[:groups], starts.diff().index_select(0, number))

    def sum(self, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Sums (groups, D) of each group's rows (K, D), times weights (K,) if given; a group's under its number."""
        along = None if weights is None else weights.index_select(0, self.order)
        return functional.embedding_bag(self.order, rows, self.starts, mode="sum", per_sample_weights=along)


@dataclass(frozen=True)
class Batch:
    """Everything the anchors of this process are compared with.

    Attributes:
        z: unit vectors (K, D): this process's n, the other ranks' up to L, those of a memory up to K.
        lengths: (n, 1) what this process's embeddings were divided by.
        groups: of all K.
        positives: (L,) how many positives each anchor has.
        intensity: (K,) for pair weights, or None.
        ranks: how the L are spread.
    """

    z: torch.Tensor
    lengths: torch.Tensor
    groups: Groups
    positives: torch.Tensor
    intensity: torch.Tensor | None
    ranks: Ranks


class Terms(torch.autograd.Function):
    """Of embeddings (n, D): (near, everything), both (L,), for the anchors of all ranks, this one's first.

    ``near`` is the mean cosine to an anchor's positives (0 without any), or with ``inside`` the log-sum-exp of its
    positives' logits; ``everything`` is the log-sum-exp of the logits of all others.

    The gradient is that of the whole batch for this rank's embeddings, times the number of ranks, since
    DistributedDataParallel will divide by it; scale's gradient is the same on all ranks and needs no such factor.
    """

    @staticmethod
    def forward(
        ctx: Any, embeddings: torch.Tensor, scale: torch.Tensor, batch: Batch, inside: bool, sharp: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ranks, rows = batch.ranks, len(embeddings)

        compiling = torch.compiler.is_compiling()
        log_partition = partition.compiled_log_partition if compiling else partition.log_partition

        def over(groups: torch.Tensor | None, intensity: torch.Tensor | None) -> torch.Tensor:
            return ranks.gather(log_partition(batch.z, scale, rows, groups, intensity, sharp))

        near = over(batch.groups.number, None) if inside else _mean_cosine(batch)
        everything = over(None, batch.intensity)
        ctx.batch, ctx.inside, ctx.sharp, ctx.dtype = batch, inside, sharp, embeddings.dtype
        ctx.save_for_backward(scale, near, everything)
        return near, everything

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_near: torch.Tensor, to_everything: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scale, near, everything = ctx.saved_tensors
        batch: Batch = ctx.batch
        z, ranks, rows = batch.z, batch.ranks, len(batch.lengths)
        compiling = torch.compiler.is_compiling()
        log_partition_backward = (
            partition.compiled_log_partition_backward if compiling else partition.log_partition_backward
        )

        def back(
            groups: torch.Tensor | None, intensity: torch.Tensor | None, value: torch.Tensor, gradient: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return log_partition_backward(z, scale, rows, ranks.rows, groups, intensity, ctx.sharp, value, gradient)

        with torch.autocast(z.device.type, enabled=False):  # it may surround backward too
            dz, to_scale = back(None, batch.intensity, everything, to_everything)
            if ctx.inside:
                more, scale_more = back(batch.groups.number, None, near, to_near)
                dz, to_scale = dz.add_(more), to_scale + scale_more
            else:
                _mean_cosine_backward(batch, to_near, dz)
            own = z[:rows]
            along = torch.linalg.vecdot(dz, own)[:, None]
            dz.addcmul_(own, along, value=-1).div_(batch.lengths).mul_(batch.lengths > SHORTEST)
        if ctx.needs_input_grad[1]:
            to_scale = ranks.sum(to_scale)
        return dz.mul_(len(ranks.sizes)).to(ctx.dtype), to_scale.to(scale.dtype), None, None, None


def unit(embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (n, D) at unit length, at least in float32, and their lengths (n, 1); no gradient."""
    exact = embeddings.detach()
    exact = exact if exact.dtype == torch.float64 else exact.float()
    lengths = torch.linalg.vector_norm(exact, dim=1, keepdim=True).clamp_min(SHORTEST)
    return exact / lengths, lengths


def _mean_cosine(batch: Batch) -> torch.Tensor:
    """(L,) mean cosine of each anchor to its positives: z_i (sum of its group - z_i) / their number."""
    sums, count = batch.groups.sum(batch.z), batch.ranks.rows
    total = batch.z.new_empty(count)
    for some in _some(count):
        others = sums.index_select(0, batch.groups.number[some]).sub_(batch.z[some])
        torch.linalg.vecdot(others, batch.z[some], out=total[some])
    return total.div_(batch.positives.clamp_min(1))


def _mean_cosine_backward(batch: Batch, gradient: torch.Tensor, dz: torch.Tensor) -> None:
    """Add the gradient of sum(gradient * _mean_cosine) for this rank's rows to dz.

    Up to multiples of z, which keeping the length takes out again.
    """
    share = gradient / batch.positives.clamp_min(1)  # 0 without a positive: its gradient is
    if len(batch.z) > len(share):
        share = functional.pad(share, (0, len(batch.z) - len(share)))
    sums = batch.groups.sum(batch.z)
    for some in _some(len(dz)):
        dz[some].addcmul_(sums.index_select(0, batch.groups.number[some]), share[some, None])
    del sums  # before the next, to keep the peak low
    sums = batch.groups.sum(batch.z, share)
    for some in _some(len(dz)):
        dz[some] += sums.index_select(0, batch.groups.number[some])


def _some(count: int) -> list[slice]:
    """``ROWS`` rows at a time."""
    return [slice(first, min(first + ROWS, count)) for first in range(0, count, ROWS)]
