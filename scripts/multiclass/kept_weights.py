"""Weights between those that a training began with and those that it ended with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn


class KeptWeights:
    """Handler: when the run has completed, move a module's weights back towards those that it began with.

    What a network has unlearnt since is still in those, and between the two it mostly has what either can do (arXiv
    2109.01903). Comes after what loads weights and what averages them, before the checkpoint, which keeps its state,
    and before what saves them.

    Args:
        module: whose weights, and running statistics.
        share: of the weights it began with in the final ones; 0 leaves those as they are.
    """

    def __init__(self, module: nn.Module, share: float = 0.0) -> None:
        self.module, self.share = module, share
        self.first: dict[str, torch.Tensor] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        if self.share:
            engine.add_event_handler(Events.STARTED, self.begin)  # an average has no weights of its own before
            engine.add_event_handler(Events.COMPLETED, self)

    def begin(self, engine: Engine) -> None:
        """Take a copy of the weights."""
        self.first = {name: value.clone() for name, value in self._weights().items()}

    def __call__(self, engine: Engine) -> None:
        for name, value in self._weights().items():
            value.lerp_(self.first[name].to(value.device), self.share)

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in self.module.state_dict().items() if value.is_floating_point()}

    def state_dict(self) -> dict[str, Any]:
        """What it began with, for the checkpoint: its file may be replaced before the stage ends."""
        return dict(self.first)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what a checkpoint began with."""
        self.first = dict(state)
