"""Runs that go on with more epochs than they were begun with, and the schedule of their learning rate."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from ..errors import SemclError, one_of

EPOCHS, TRAINER = "max_epochs", "train#trainer#max_epochs"  # keys of a flat config
BEGUN, REFITTED = "begun", "refitted"  # what ``schedule`` of common.yaml may be


def is_longer(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a flat config has more epochs than the one a run was begun with."""
    first, last = before.get(EPOCHS), now.get(EPOCHS)
    return isinstance(first, int | float) and isinstance(last, int | float) and last > first


def fitted_to_length(config: Mapping[str, Any]) -> list[str]:
    """The keys of a flat config that depend on the number of epochs, such as the learning rate's schedule."""
    refers = re.compile(rf"@(train(#|::)trainer(#|::))?{EPOCHS}\b")
    return [key for key, value in config.items() if key != TRAINER and refers.search(str(value))]


def require_schedule(config: Mapping[str, Any], before: Mapping[str, Any], rounds: int, schedule: str) -> None:
    """Refuse to go on with more epochs where that cannot be done, or must be said.

    Args:
        config: flat, of the run that goes on.
        before: flat, of the run so far.
        rounds: networks that it has trained to their end.
        schedule: "begun" or "refitted".

    Raises:
        SemclError: when earlier networks of the run have fewer epochs, or the schedule is fitted to that number.
    """
    one_of("schedule", schedule, (BEGUN, REFITTED))
    length = f"{before[EPOCHS]} epochs"
    if rounds:
        raise SemclError(
            "a run of several networks cannot go on with more epochs",
            found=f"{rounds} of them trained for {length}, and --{EPOCHS} {config[EPOCHS]}",
            expected=f"--{EPOCHS} {before[EPOCHS]}, as it was begun",
            remedy="leave it out; or leave out --resume to train all of them anew",
        )
    fitted = fitted_to_length(config)
    if fitted and schedule != REFITTED:
        raise SemclError(
            f"the schedule of this run is fitted to {length}",
            found=f"--{EPOCHS} {config[EPOCHS]}, which changes {', '.join(fitted)}",
            expected=f"--{EPOCHS} {before[EPOCHS]}, or leave to fit the schedule anew",
            remedy=f"add --schedule {REFITTED}: from here on they are those of a run of {config[EPOCHS]} epochs, whose "
            "learning rate rises at first; or leave out --resume to train all epochs anew (docs/runs.md)",
        )


def refit(scheduler: Any, optimizer: Optimizer, states: Mapping[str, Any]) -> None:
    """Load the state of an optimizer, with the learning rate of a new schedule at the step that was reached.

    Args:
        scheduler: new, of the longer run.
        optimizer: new, which it schedules.
        states: of both, as the run so far has left them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # steps that were taken before
        while scheduler.last_epoch < states["scheduler"]["last_epoch"]:
            scheduler.step()
    scheduled = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(states["optimizer"])
    for group, own in zip(optimizer.param_groups, scheduled, strict=True):
        group.update(own)
