"""The share of a run in which its learning rate rises."""

from __future__ import annotations

NUDGE = 1.01


def warm_up_share(share: float, steps: int) -> float:
    """A share of so many steps that torch's ``OneCycleLR`` can be made with: it divides by zero where that is one step.

    Args:
        share: of the steps, above 0 and below 1.
        steps: of the run.
    """
    return share * NUDGE if float(share * steps) - 1 == 0 else share
