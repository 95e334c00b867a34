"""Encoders that are the first half of MONAI's segmentation networks, under the names their weights have there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE, FlexibleUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.segresnet_ds import SegResNetDS
from monai.networks.nets.swin_unetr import SwinUNETR
from torch import nn

from ..errors import one_of
from .network_encoder import NetworkEncoder, Stride, products


class SegResNetEncoder(NetworkEncoder):
    """Of MONAI's SegResNet (arXiv 1810.11654): maps at 1/1, 1/2, ... of the patch.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image, plus one for the attention mask.
        init_filters: channels of the finest map, a multiple of 8; each further map has twice as many.
        blocks_down: residual blocks of each level.
        arguments: others of SegResNet.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int = 2,
        init_filters: int = 8,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        **arguments: Any,
    ) -> None:
        channels, strides = _doubling(init_filters, len(blocks_down))
        given = {
            "init_filters": init_filters,
            "blocks_down": tuple(blocks_down),
            "blocks_up": (1,) * (len(strides) - 1),
        }
        super().__init__(SegResNet, spatial_dims, in_channels, channels, strides, given | arguments)

    def take(self, network: Any) -> None:
        self.convInit, self.down_layers = network.convInit, network.down_layers
        self.dropout = nn.Identity() if network.dropout_prob is None else network.dropout  # without weights

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of inputs (B, C, X, Y[, Z]), finest first."""
        last = self.dropout(self.convInit(inputs))
        maps = []
        for level in self.down_layers:
            last = level(last)
            maps.append(last)
        return maps


class SegResNetDSEncoder(NetworkEncoder):
    """Of MONAI's SegResNetDS, which Auto3DSeg trains: maps at 1/1, 1/2, ... of the patch.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image, plus one for the attention mask.
        init_filters: channels of the finest map; each further map has twice as many.
        blocks_down: residual blocks of each level.
        arguments: others of SegResNetDS.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int = 2,
        init_filters: int = 32,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        **arguments: Any,
    ) -> None:
        channels, strides = _doubling(init_filters, len(blocks_down))
        given = {"init_filters": init_filters, "blocks_down": tuple(blocks_down)}
        super().__init__(SegResNetDS, spatial_dims, in_channels, channels, strides, given | arguments)

    def take(self, network: Any) -> None:
        self.encoder, self.preprocess = network.encoder, network.preprocess

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of inputs (B, C, X, Y[, Z]), finest first."""
        maps: list[torch.Tensor] = self.encoder(inputs if self.preprocess is None else self.preprocess(inputs))
        return maps


class DynUNetEncoder(NetworkEncoder):
    """Of MONAI's DynUNet, the plain U-Net of nnU-Net (arXiv 1809.10486).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image, plus one for the attention mask.
        filters: channels of each level.
        kernel_size: of each level, a number or one per axis.
        strides: from each level to the next, the first one usually 1; a number or one per axis.
        arguments: others of DynUNet.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int = 2,
        filters: Sequence[int] = (32, 64, 128, 256),
        kernel_size: Sequence[Stride] = (3, 3, 3, 3),
        strides: Sequence[Stride] = (1, 2, 2, 2),
        **arguments: Any,
    ) -> None:
        given = {
            "filters": list(filters),
            "kernel_size": list(kernel_size),
            "strides": list(strides),
            "upsample_kernel_size": list(strides[1:]),
        }
        super().__init__(DynUNet, spatial_dims, in_channels, filters, products(strides), given | arguments)

    def take(self, network: Any) -> None:
        self.input_block, self.downsamples, self.bottleneck = (
            network.input_block, network.downsamples, network.bottleneck
        )  # fmt: skip

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of inputs (B, C, X, Y[, Z]), finest first."""
        maps = [self.input_block(inputs)]
        for level in self.downsamples:
            maps.append(level(maps[-1]))
        maps.append(self.bottleneck(maps[-1]))
        return maps


class SwinUNETREncoder(NetworkEncoder):
    """Of MONAI's SwinUNETR (arXiv 2201.01266): maps at 1/1, 1/2, 1/4, 1/8, 1/16 and 1/32 of the patch.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image, plus one for the attention mask.
        feature_size: channels of the finest map, a multiple of 12.
        arguments: others of SwinUNETR.
    """

    def __init__(self, spatial_dims: int, in_channels: int = 2, feature_size: int = 24, **arguments: Any) -> None:
        channels = [feature_size * factor for factor in (1, 1, 2, 4, 8, 16)]
        given = {"feature_size": feature_size}
        super().__init__(SwinUNETR, spatial_dims, in_channels, channels, [1, 2, 4, 8, 16, 32], given | arguments)

    def take(self, network: Any) -> None:
        self.normalize = network.normalize
        self.swinViT, self.encoder1, self.encoder2 = network.swinViT, network.encoder1, network.encoder2
        self.encoder3, self.encoder4, self.encoder10 = network.encoder3, network.encoder4, network.encoder10

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of inputs (B, C, X, Y[, Z]), finest first."""
        half, quarter, eighth, sixteenth, last = self.swinViT(inputs, self.normalize)
        finer = [self.encoder1(inputs), self.encoder2(half), self.encoder3(quarter), self.encoder4(eighth)]
        return [*finer, sixteenth, self.encoder10(last)]


class FlexibleUNetEncoder(NetworkEncoder):
    """Of MONAI's FlexibleUNet, an EfficientNet or ResNet: maps at 1/2, 1/4, ... 1/32 of the patch.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image, plus one for the attention mask.
        backbone: a name of FlexibleUNet's, such as resnet18 or efficientnet-b0.
        arguments: others of FlexibleUNet.

    Raises:
        SemclError: for another backbone.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int = 2, backbone: str = "efficientnet-b0", **arguments: Any
    ) -> None:
        one_of("backbone", backbone, list(FLEXUNET_BACKBONE.register_dict))
        channels = FLEXUNET_BACKBONE.register_dict[backbone]["feature_channel"]
        strides = [2 ** (level + 1) for level in range(len(channels))]
        super().__init__(FlexibleUNet, spatial_dims, in_channels, channels, strides, {"backbone": backbone} | arguments)

    def take(self, network: Any) -> None:
        self.encoder = network.encoder

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of inputs (B, C, X, Y[, Z]), finest first."""
        return list(self.encoder(inputs))


def _doubling(first: int, levels: int) -> tuple[list[int], list[int]]:
    """Channels and strides of levels that double both."""
    return [first * 2**level for level in range(levels)], [2**level for level in range(levels)]
