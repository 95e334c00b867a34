"""The encoder that pretraining began with, to compare with: what is its own, and what pretraining gave."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..cohort.provenance import note_of
from ..files import checksum_of
from ..job.initial_weights import InitialWeights


def begun(module: nn.Module, path: str, in_channels: int) -> nn.Module:
    """A module with what fits of a checkpoint, as a run has it that begins with that; errors of ``InitialWeights``."""
    InitialWeights(path, module, in_channels).take(Path(path))
    return module


def began_with(weights: str, candidate: str | None) -> str | None:
    """The candidate, where it is what the training of ``weights`` began with, as their note has it; else None."""
    noted = note_of(Path(weights)).get("began_with")
    return candidate if noted is not None and noted == checksum_of(candidate) else None
