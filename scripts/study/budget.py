"""The training budget: how many steps a strategy's stages get, so that all strategies cost the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SemclError

LEAST = 8  # steps of a stage: fewer train nothing


@dataclass(frozen=True)
class Cost:
    """What a stage costs on one device, as a short run of it alone showed.

    Args:
        step: device seconds of a training step; 0 for a stage that does not train.
        epoch: device seconds of what is done once per epoch, such as writing the checkpoint.
        fixed: device seconds of what is done once, whatever the number of cases.
        case: device seconds of what is done for each case: reading, storing, predicting.
        samples: volumes, patches, slices or queries in a step.
        flops: floating-point operations of a training step, forward and backward.
    """

    step: float
    fixed: float
    case: float
    epoch: float = 0
    samples: float = 0
    flops: float = 0


@dataclass(frozen=True)
class Length:
    """How long a stage trains: epochs of steps, each of ``rounds`` times, and the device seconds this should take."""

    max_epochs: int
    epoch_length: int
    rounds: int
    seconds: float

    @property
    def steps(self) -> int:
        """Training steps in all."""
        return self.max_epochs * self.epoch_length * self.rounds

    @property
    def numbers(self) -> dict[str, int]:
        """The keys of the config."""
        return {"max_epochs": self.max_epochs, "epoch_length": self.epoch_length}


def length_of(
    seconds: float, cost: Cost, before: float, cases: int, rounds: int, usual: int, names: tuple[str, str, str]
) -> Length:
    """The length of a stage that may take so many device seconds.

    Args:
        seconds: its share of the budget.
        cost: of the stage.
        before: device seconds of what is done for it beforehand: the query store.
        cases: how many it reads.
        rounds: how often it trains: folds and once more with cross-fitting.
        usual: steps of an epoch in its config, kept as far as possible.
        names: of the strategy, the stage and the cell, for an error.

    Raises:
        SemclError: when fewer than ``LEAST`` steps a round are left.
    """
    fixed = before + cost.fixed + cost.case * cases
    each = (seconds - fixed) / rounds

    def steps_in(epochs: int) -> int:
        """Steps of an epoch, for so many of them."""
        return int((each / epochs - cost.epoch) / cost.step + 1e-9)

    near = max(1, round(each / (usual * cost.step + cost.epoch)))
    tried = range(near - near // 4, near + near // 4 + 1)
    epochs = max(tried, key=lambda count: (count * steps_in(count), -abs(count - near)))  # leave no steps over
    epoch_length = steps_in(epochs)
    if epochs * epoch_length < LEAST:
        strategy, stage, cell = names
        needed = fixed + rounds * (LEAST * cost.step + cost.epoch)
        raise SemclError(
            f"the budget is too small for {strategy}: {stage} could not train",
            found=f"{cell}: {seconds:.1f} s for {stage}, of which {fixed:.1f} s are fixed costs for {cases} cases and "
            f"a step takes {cost.step * rounds:.2g} s",
            expected=f"at least {needed:.1f} s, for {LEAST} steps",
            remedy=f"raise --budget, give {stage} a larger share in the strategy's file, or leave the strategy out",
        )
    planned = fixed + rounds * epochs * (epoch_length * cost.step + cost.epoch)
    return Length(epochs, epoch_length, rounds, planned)


def usual_length(config: Mapping[str, Any], numbers: Mapping[str, Any]) -> int:
    """Steps of an epoch as a stage's config, or numbers over it, have them."""
    found = numbers.get("epoch_length", config.get("epoch_length", 20))
    return found if isinstance(found, int) else 20
