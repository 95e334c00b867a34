"""What must be finite: weights, losses, probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine

from .errors import SemclError


def not_finite(state: Mapping[str, Any]) -> list[str]:
    """The entries of a state dict that hold NaN or infinity."""
    return [name for name, part in state.items() if isinstance(part, torch.Tensor) and not bool(part.isfinite().all())]


def went_wrong(engine: Engine, found: str, step: int | None = None) -> SemclError:
    """What to say of a training whose loss or weights are no numbers any more, in this epoch, at this step of it."""
    runs = getattr(engine.state, "round", 0)
    where = f"epoch {engine.state.epoch}" + (f", step {step}" if step else "") + (f", round {runs + 1}" if runs else "")
    return SemclError(
        f"training went wrong in {where}",
        found=found,
        expected="finite losses and weights",
        remedy="train anew with a lower learning_rate, or --amp False; the last whole checkpoint and the weights of "
        "earlier runs are kept",
    )


def refuse_broken(scores: torch.Tensor, network: str, what: str, case: str | None) -> None:
    """Refuse what a network made of a case where it holds NaN or infinity: it would look like nothing drawn.

    Args:
        scores: of any shape.
        network: the network's role, named in errors.
        what: what the scores are of, such as an organ.
        case: case id, where it is known.

    Raises:
        SemclError: for scores that are not finite.
    """
    if bool(scores.isfinite().all()):
        return
    raise SemclError(
        f"the {network} network gives no numbers",
        case=case,
        found=f"NaN or infinity in the scores of {what}",
        expected="finite scores",
        remedy="set amp to False; if that does not help, the network must be trained again",
    )
