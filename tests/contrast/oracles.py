"""Slow reference implementations of the semantic contrastive loss: pair by pair, and as one matrix for autograd."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from scripts.contrast import matrix, partition

Keys = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # unit vectors, labels and intensities of a memory


def loop(
    vectors: torch.Tensor,
    labels: torch.Tensor,
    temperature: float,
    summation: str = "out",
    intensity: torch.Tensor | None = None,
    keys: Keys | None = None,
) -> list[float | None]:
    """Loss of each anchor in float64, None without a positive."""
    rows, names = _normalised(vectors), labels.tolist()
    intensities = [0.0] * len(rows) if intensity is None else intensity.double().flatten().tolist()
    anchors = len(rows)
    if keys is not None:
        rows, names = rows + keys[0].double().tolist(), names + keys[1].tolist()
        intensities += keys[2].double().tolist() if intensity is not None else [0.0] * len(keys[1])
    losses: list[float | None] = []
    for i in range(anchors):
        logits = {j: _dot(rows[i], rows[j]) / temperature for j in range(len(rows)) if j != i}
        weighed = {
            j: 1 / temperature + (1 - abs(intensities[i] - intensities[j])) * (logit - 1 / temperature)
            for j, logit in logits.items()
        }
        positives = [logit for j, logit in logits.items() if names[j] == names[i]]
        if not positives:
            losses.append(None)
        elif summation == "in":
            losses.append(_log_sum(list(weighed.values())) - _log_sum(positives) + math.log(len(positives)))
        else:
            losses.append(_log_sum(list(weighed.values())) - math.fsum(positives) / len(positives))
    return losses


def mean(losses: list[float | None]) -> float:
    """Over the anchors with a positive; 0 without any."""
    counted = [loss for loss in losses if loss is not None]
    return math.fsum(counted) / max(len(counted), 1)


def total(losses: list[float | None]) -> float:
    return math.fsum(loss for loss in losses if loss is not None)


def each(losses: list[float | None]) -> list[float]:
    """0 for an anchor without a positive."""
    return [loss or 0.0 for loss in losses]


REDUCED: dict[str, Callable[[list[float | None]], float | list[float]]] = {"mean": mean, "sum": total, "none": each}


def dense(
    vectors: torch.Tensor,
    labels: torch.Tensor,
    scale: torch.Tensor | float,
    summation: str = "out",
    intensity: torch.Tensor | None = None,
    keys: Keys | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (N,) by a matrix of all pairs, 0 for an anchor without a positive, and whether each has one (N,)."""
    anchors = vectors / vectors.norm(dim=1, keepdim=True)
    z, names, intensities = anchors, labels, intensity
    if keys is not None:
        z, names = torch.cat([z, keys[0].to(z.dtype)]), torch.cat([labels, keys[1]])
        intensities = None if intensity is None else torch.cat([intensity, keys[2].to(intensity.dtype)])
    itself = torch.eye(len(anchors), len(z), dtype=torch.bool)
    positive = (labels[:, None] == names) & ~itself
    counted = positive.any(1)
    logits = (anchors @ z.T * scale)[counted]
    positive, itself, number = positive[counted], itself[counted], positive.sum(1)[counted]
    weighed = logits
    if intensities is not None:
        weighed = scale + (1 - (intensity[counted, None] - intensities).abs()) * (logits - scale)
    if summation == "in":
        numerator = logits.masked_fill(~positive, -math.inf).logsumexp(1)
        numerator = numerator - number.to(numerator.dtype).log()
    else:
        numerator = (logits * positive).sum(1) / number
    losses = weighed.masked_fill(itself, -math.inf).logsumexp(1) - numerator
    return torch.zeros_like(anchors[:, 0]).masked_scatter(counted, losses), counted


def dense_mean(*args, **options) -> torch.Tensor:
    """``dense``, over the anchors with a positive."""
    losses, counted = dense(*args, **options)
    return losses.sum() / counted.sum().clamp_min(1)


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane at these angles."""
    turned = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([turned.cos(), turned.sin()], dim=1)


def sample(
    count: int, embedding: int = 5, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random embeddings (N, D) of various lengths, labels (N,) and intensities (N,)."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.rand(count, 1, generator=generator, dtype=torch.float64) * 5 + 0.1
    vectors = torch.randn(count, embedding, generator=generator, dtype=torch.float64) * lengths
    labels = torch.randint(0, classes, (count,), generator=generator)
    intensity = torch.rand(count, generator=generator, dtype=torch.float64)
    return vectors.to(dtype), labels, intensity.to(dtype)


def _normalised(vectors: torch.Tensor) -> list[list[float]]:
    rows = vectors.detach().double().tolist()
    return [[value / (math.hypot(*row) or 1.0) for value in row] for row in rows]


def _dot(first: list[float], second: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(first, second, strict=True))


def _log_sum(logits: list[float]) -> float:
    top = max(logits)
    return top + math.log(math.fsum(math.exp(logit - top) for logit in logits))


def compute_by(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """Let losses compare all pairs by tiles of this side, or by one matrix for 0."""
    monkeypatch.setitem(matrix.MOST_ROWS, "cpu", 0 if side else 10_000)
    if side:
        monkeypatch.setitem(partition.SIDE, "cpu", side)


def way_of(side: int) -> str:
    """How ``compute_by`` does it, in words."""
    return f"tiles of {side}" if side else "one matrix"
