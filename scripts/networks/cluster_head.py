"""The cluster head: projects pooled features onto the unit sphere, where clusters form."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ClusterHead(nn.Module):
    """Linear, ReLU, linear, L2 normalisation: pooled features (B, C) -> unit vectors (B, D).

    Args:
        in_channels: C.
        embedding: D, length of the embeddings; 256 in the paper's code.
    """

    def __init__(self, in_channels: int, embedding: int = 256) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Linear(in_channels, in_channels), nn.ReLU(inplace=True), nn.Linear(in_channels, embedding)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.project(features), dim=1)
