"""Checks that weights, losses and scores are finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine

from .errors import SemclError


def all_finite(values: torch.Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity.

    Its sum is not finite if any value is not, and takes a fraction of the time.
    """
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def not_finite(state: Mapping[str, Any]) -> list[str]:
    """Return the entries of a state dict that hold NaN or infinity."""
    return [name for name, part in state.items() if isinstance(part, torch.Tensor) and not all_finite(part)]


def training_failed(engine: Engine, found: str, step: int | None = None) -> SemclError:
    """Return the error of a training whose loss or weights are not finite, with its epoch and step."""
    runs = getattr(engine.state, "round", 0)
    where = f"epoch {engine.state.epoch}" + (f", step {step}" if step else "") + (f", round {runs + 1}" if runs else "")
    return SemclError(
        f"training failed in {where}",
        found=found,
        expected="finite losses and weights",
        remedy="train again with a lower learning_rate, or --precision float32; the last whole checkpoint and "
        "the weights of earlier runs are kept",
    )


def refuse_broken(scores: torch.Tensor, network: str, what: str, case: str | None) -> None:
    """Refuse scores of a network that are NaN or infinite: they would pass for background.

    Args:
        scores: of any shape.
        network: the network's role, named in errors.
        what: what the scores are of, such as an organ.
        case: case id, where it is known.

    Raises:
        SemclError: for scores that are not finite.
    """
    if all_finite(scores):
        return
    raise SemclError(
        f"the scores of the {network} network are not finite",
        case=case,
        found=f"NaN or infinity in the scores of {what}",
        expected="finite scores",
        remedy="set precision to float32; if that does not help, the network must be trained again",
    )
