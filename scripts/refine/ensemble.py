"""Several trained refiners as one network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import nn

from ..errors import SemclError
from ..job.weights import load_weights


class Ensemble(nn.Module):
    """The mean logit of networks of the same architecture.

    Args:
        network: the first member; the others are copies of it.
        count: number of members.

    Raises:
        SemclError: for no members.
    """

    def __init__(self, network: nn.Module, count: int) -> None:
        super().__init__()
        if count < 1:
            raise SemclError(
                "there is no model to segment with",
                found="models: []",
                expected="at least one name",
                remedy="set models",
            )
        self.members = nn.ModuleList([network, *(copy.deepcopy(network) for _ in range(count - 1))])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.members[0](inputs)
        for member in list(self.members)[1:]:
            total = total + member(inputs)
        return total / len(self.members)


def averaged(network: nn.Module, count: int) -> nn.Module:
    """A network as it is for one model, for several their ``Ensemble``, which raises for none."""
    return network if count == 1 else Ensemble(network, count)


class LoadMembers:
    """Handler: load the weights of one network, or of each member of an ensemble, when it is attached.

    Errors are those of ``load_weights``; files that are missing are one of the first run.

    Args:
        paths: one file per model.
        network: what ``averaged`` returned.
        made_by: config of the stage that writes the files.
    """

    def __init__(self, paths: Sequence[str], network: nn.Module, made_by: str) -> None:
        self.paths, self.network, self.made_by = [Path(path) for path in paths], network, made_by

    def attach(self, engine: Engine) -> None:
        """Load the weights, now or, where a file is missing, when the engine starts."""
        if all(path.is_file() for path in self.paths):
            self.load()
        else:
            engine.add_event_handler(Events.STARTED, self.load)

    def load(self) -> None:
        """Load the weights."""
        members = self.network.members if isinstance(self.network, Ensemble) else [self.network]
        for path, member in zip(self.paths, members, strict=True):
            load_weights(path, member, self.made_by)
