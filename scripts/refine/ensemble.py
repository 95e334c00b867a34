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
from ..networks.fusion import fuse_norms


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


class LoadMembers:
    """Handler: load each member's weights when the first run starts, and fuse their normalisations (``fuse_norms``).

    Errors are those of ``load_weights``.

    Args:
        paths: one file per member.
        ensemble: whose members they are loaded into.
        made_by: config of the stage that writes the files.
    """

    def __init__(self, paths: Sequence[str], ensemble: Ensemble, made_by: str) -> None:
        self.paths, self.ensemble, self.made_by = [Path(path) for path in paths], ensemble, made_by
        self.loaded = False

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if self.loaded:
            return
        for path, member in zip(self.paths, self.ensemble.members, strict=True):
            load_weights(path, member, self.made_by)
            fuse_norms(member)
        self.loaded = True
