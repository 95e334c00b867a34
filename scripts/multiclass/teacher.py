"""The mean teacher: an average of the network's weights over time guesses the labels of scans that have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..cohort.label_table import IGNORED


class Teacher:
    """Handler: keep a moving average of the network's weights (arXiv 1703.01780), which guesses labels for it to learn.

    Guesses that are not confident are ignored (FixMatch, arXiv 2001.07685). Comes after what loads weights and before
    the checkpoint, which keeps its state.

    Args:
        network: the network in training.
        device: of the network.
        consistency: weight of the loss on guesses, at the end of its rise; 0: there is no teacher.
        momentum: share of the average that each step keeps.
        confidence: probability from which a guess counts.
        rise: steps over which the weight rises.

    Attributes:
        weight: of the loss on guesses, at this step.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | str,
        consistency: float = 0.0,
        momentum: float = 0.9,
        confidence: float = 0.95,
        rise: float = 1.0,
    ) -> None:
        self.network, self.consistency, self.confidence, self.rise = network, consistency, confidence, rise
        self.mean: AveragedModel | None = None
        self.weight = 0.0
        if consistency:
            average = get_ema_multi_avg_fn(momentum)  # type: ignore[no-untyped-call]  # torch's
            self.mean = AveragedModel(network, torch.device(device), multi_avg_fn=average, use_buffers=True)
            self.mean.eval()

    @property
    def final(self) -> nn.Module:
        """The network to keep: the teacher, or the network itself where there is none."""
        return self.network if self.mean is None else self.mean.module

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        if self.mean is not None:
            engine.add_event_handler(Events.STARTED, self.follow)  # the first time it is a copy
            engine.add_event_handler(Events.ITERATION_STARTED, self.raise_weight)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.follow)

    def follow(self, engine: Engine) -> None:
        """Take the network's weights into the average."""
        if self.mean is not None:
            self.mean.update_parameters(self.network)

    def raise_weight(self, engine: Engine) -> None:
        """Set the weight of this step."""
        self.weight = self.consistency * min(1.0, engine.state.iteration / max(1.0, self.rise))

    def guess(self, image: torch.Tensor) -> torch.Tensor:
        """Labels (B, 1, ...) that the teacher gives images (B, C, ...), ignored where it is not confident."""
        with torch.no_grad():
            logits: torch.Tensor = self.final(image)
            probability, number = logits.softmax(1).max(1, keepdim=True)
        return number.masked_fill(probability < self.confidence, IGNORED)

    def state_dict(self) -> dict[str, Any]:
        """The average, for the checkpoint."""
        return {} if self.mean is None else dict(self.mean.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's average."""
        if self.mean is not None:
            self.mean.load_state_dict(state)
