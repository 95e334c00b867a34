"""The cluster head: a pooled feature map to a unit vector on the sphere where clusters are formed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ClusterHead(nn.Module):
    """Linear, ReLU, linear, unit length: pooled features (B, C) -> (B, D).

    Args:
        in_channels: C.
        embedding: D, 256 in the paper's code.
    """

    def __init__(self, in_channels: int, embedding: int = 256) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Linear(in_channels, in_channels), nn.ReLU(inplace=True), nn.Linear(in_channels, embedding)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.project(features), dim=1)
