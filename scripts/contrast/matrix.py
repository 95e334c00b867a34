"""Numerator and denominator of the loss by one matrix of all pairs: quicker than tiles while a batch is small."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from .terms import unit_gradient

MOST_ROWS = {"cpu": 384}  # up to this many, measured by python -m bench loss, the matrix is quicker than tiles
MOST_ROWS_ELSEWHERE = 1024  # a tile's side there: the matrix is no larger, and needs a third of the kernel launches


def fits_matrix(embeddings: torch.Tensor) -> bool:
    """Whether all pairs of embeddings (N, D) are quicker compared in one matrix."""
    return 0 < len(embeddings) <= MOST_ROWS.get(embeddings.device.type, MOST_ROWS_ELSEWHERE)


class MatrixTerms(torch.autograd.Function):
    """Numerator and denominator (N,), as ``Terms`` gives them, of a batch that one process holds, without a memory.

    Args, after the context:
        embeddings: (N, D), for whose sake there is a gradient.
        scale: 1/temperature, a scalar tensor.
        z: unit vectors (N, D) of the embeddings, and
        lengths: (N, 1) norms they were divided by.
        positives: (N, N) whether a column is a positive of a row, and
        counts: (N,) how many of them a row has.
        intensity: (N,) for pair weights, or None.
        inside: the numerator is the log-sum-exp of the positives' logits, not their mean cosine.
    """

    @staticmethod
    def forward(
        ctx: Any,
        embeddings: torch.Tensor,
        scale: torch.Tensor,
        z: torch.Tensor,
        lengths: torch.Tensor,
        positives: torch.Tensor,
        counts: torch.Tensor,
        intensity: torch.Tensor | None,
        inside: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cosines = z @ z.T
        plain = cosines * scale
        weights = None if intensity is None else 1 - (intensity[:, None] - intensity).abs_()
        logits = plain.clone() if weights is None else torch.lerp(scale.expand_as(plain), plain, weights)
        highest = logits.fill_diagonal_(-math.inf).amax(1).clamp_min_(torch.finfo(logits.dtype).min)
        powers = logits.sub_(highest[:, None]).exp_()  # at most 1, and kept for the gradient
        total = powers.sum(1)  # at least 1, but 0 in a row without any other
        denominator = total.log().add_(highest)
        if inside:
            numerator = plain.masked_fill_(~positives, -math.inf).logsumexp(1)
        else:
            numerator = (cosines * positives).sum(1).div_(counts.clamp_min(1))
        ctx.inside, ctx.dtype = inside, embeddings.dtype
        ctx.save_for_backward(
            scale, z, lengths, positives, counts, weights, cosines, powers, total, *([plain, numerator] * inside)
        )
        return numerator, denominator

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_numerator: torch.Tensor, d_denominator: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scale, z, lengths, positives, counts, weights, cosines, powers, total, *inner = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False):  # it may be on during backward too
            pairs = powers * (d_denominator / total.clamp_min(1))[:, None]
            per_scale = cosines if weights is None else torch.lerp(torch.ones_like(cosines), cosines, weights)
            d_scale = (pairs * per_scale).sum() if ctx.needs_input_grad[1] else None
            if weights is not None:
                pairs.mul_(weights)
            if ctx.inside:
                towards = _softmax(*inner).mul_(d_numerator[:, None])
                d_scale = None if d_scale is None else d_scale + (towards * cosines).sum()
                pairs.add_(towards).mul_(scale)
            else:
                share = d_numerator / counts.clamp_min(1)
                pairs.mul_(scale).addcmul_(positives, share[:, None])
            dz = unit_gradient((pairs + pairs.T) @ z, z, lengths)
        return dz.to(ctx.dtype), d_scale, None, None, None, None, None, None


def _softmax(logits: torch.Tensor, log_sums: torch.Tensor) -> torch.Tensor:
    """Softmax of each row of logits (N, N), given their log-sum-exp (N,); 0 in a row without any logit."""
    return (logits - log_sums.masked_fill(log_sums == -math.inf, math.inf)[:, None]).exp_()
