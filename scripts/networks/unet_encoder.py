"""The encoder half of MONAI's UNet, whose levels are nested in one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.unet import UNet
from torch import nn

from .network_encoder import NetworkEncoder, Stride, products


class UNetEncoder(NetworkEncoder):
    """Of MONAI's UNet: each level is subsampled at its beginning, the last is not.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image, plus one for the attention mask.
        channels: of each level.
        strides: of each level but the last, a number or one per axis.
        arguments: others of UNet.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int = 2,
        channels: Sequence[int] = (16, 32, 64, 128),
        strides: Sequence[Stride] = (2, 2, 2),
        **arguments: Any,
    ) -> None:
        given = {"channels": tuple(channels), "strides": tuple(strides)}
        super().__init__(UNet, spatial_dims, in_channels, channels, products([*strides, 1]), given | arguments)

    def take(self, network: Any) -> None:
        self.model = _Level(network.model)

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of inputs (B, C, X, Y[, Z]), finest first."""
        maps: list[torch.Tensor] = self.model(inputs)
        return maps


class _Level(nn.Sequential):
    """A level of UNet without its way up, under UNet's names: ``0`` and, for the levels below, ``1.submodule``."""

    def __init__(self, level: Any) -> None:
        below = level[1].submodule
        nested = isinstance(below, nn.Sequential) and hasattr(below[1], "submodule")
        super().__init__(level[0], _Below(_Level(below)) if nested else _Last(below))

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        first: torch.Tensor = self[0](inputs)
        maps: list[torch.Tensor] = [first] + self[1](first)  # noqa: RUF005  # for TorchScript
        return maps


class _Below(nn.Module):
    def __init__(self, submodule: nn.Module) -> None:
        super().__init__()
        self.submodule = submodule

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = self.submodule(inputs)
        return maps


class _Last(_Below):
    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        return [self.submodule(inputs)]
