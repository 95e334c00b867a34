"""What the contrastive loss is given, refused where it does not fit: temperature, embeddings, labels, intensities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import SemclError
from .terms import readable_without_sync


def check_temperature(temperature: float, allowed: Sequence[float] | None) -> None:
    """Refuse a temperature that is not a positive number, or lies outside of the range it is learnt in."""
    low, high = (temperature, temperature) if allowed is None else (min(allowed), max(allowed))
    if not (low > 0 and math.isfinite(high) and low <= temperature <= high):
        raise SemclError(
            "invalid temperature",
            found=temperature if allowed is None else f"{temperature} in the range {low} to {high}",
            expected="a number above 0, in a range above 0",
            remedy="set it, for example, to 0.1",
        )


def check_batch(embeddings: torch.Tensor, labels: torch.Tensor | None, intensity: torch.Tensor | None) -> None:
    """Refuse shapes and dtypes that the loss cannot use and, on the CPU, intensities out of range."""
    if embeddings.ndim not in (2, 3) or not embeddings.is_floating_point():
        raise SemclError(
            "embeddings cannot be compared",
            found=f"{embeddings.dtype} of shape {tuple(embeddings.shape)}",
            expected="floating point, (N, D) or (B, V, D)",
            remedy="pass the cluster head's output",
        )
    if labels is None:
        if embeddings.ndim == 2:
            raise SemclError(
                "embeddings without labels have no positives",
                found=f"labels None and embeddings {tuple(embeddings.shape)}",
                expected="(B, V, D): V views of each query",
                remedy="stack the views on an axis of their own, or pass labels",
            )
    elif labels.shape != embeddings.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise SemclError(
            "labels do not fit the embeddings",
            found=f"{labels.dtype} of shape {tuple(labels.shape)} for embeddings {tuple(embeddings.shape)}",
            expected=f"integers of shape ({len(embeddings)},)",
            remedy="pass one cluster label per query",
        )
    if intensity is None:
        return
    if intensity.shape != embeddings.shape[:-1] or not intensity.is_floating_point():
        raise SemclError(
            "intensities do not fit the embeddings",
            found=f"{intensity.dtype} of shape {tuple(intensity.shape)} for embeddings {tuple(embeddings.shape)}",
            expected=f"floating point of shape {tuple(embeddings.shape[:-1])}",
            remedy="pass the mean intensity under the mask of each view",
        )
    if readable_without_sync(intensity) and not bool(((intensity >= 0) & (intensity <= 1)).all()):
        raise SemclError(
            "intensities out of range",
            found=f"{intensity.min().item():g} to {intensity.max().item():g}",
            expected="0 to 1",
            remedy="scale the image window to [0, 1] and the mask to {0, 1} before taking the mean",
        )
