"""The decoder: atrous spatial pyramid pooling over the encoder's last map, refined by its earlier ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, SimpleASPP
from torch import nn
from torch.nn import functional

from ..errors import SemclError


class AsppDecoder(nn.Module):
    """ASPP with image pooling (DeepLabV3, arXiv 1706.05587), low-level skips (DeepLabV3+, arXiv 1802.02611), logits.

    Without skips it is the paper's decoder, which classifies the 1/8 map and upsamples the logit. Fine edges are lost
    at 1/8, so skips from finer levels are the default.

    Args:
        spatial_dims: 2 or 3.
        channels: of the encoder's feature maps, finest first; the pyramid is built on the last one.
        width: channels of the joined pyramid; each skip on the way up halves them, but not below ``skip_width``.
        dilations: of the three 3 x 3 branches.
        skips: which of the finer maps are joined on the way up, 0 for the finest.
        skip_width: channels that each skip is reduced to.
        outputs: logits per voxel: 1 for the object of a query, or one per class.

    Raises:
        SemclError: for skips that the encoder has no maps for.
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: Sequence[int],
        width: int = 256,
        dilations: Sequence[int] = (6, 12, 18),
        skips: Sequence[int] = (1, 2),
        skip_width: int = 48,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        if any(not 0 <= level < len(channels) - 1 for level in skips):
            raise SemclError(
                "skips name feature maps that the encoder does not have",
                found=f"skips {list(skips)}, an encoder with {len(channels)} maps",
                expected=f"numbers from 0 to {len(channels) - 2}, the finer maps",
                remedy="set skips",
            )
        self.mode = "bilinear" if spatial_dims == 2 else "trilinear"
        self.skips = sorted(skips, reverse=True)
        branch = width // 4

        def convolution(inputs: int, outputs: int, kernel: int) -> Convolution:
            return Convolution(
                spatial_dims, inputs, outputs, kernel_size=kernel, adn_ordering="NA", act="relu", norm="batch"
            )

        self.pyramid = SimpleASPP(
            spatial_dims, channels[-1], branch, kernel_sizes=(1, 3, 3, 3), dilations=(1, *dilations), acti_type="RELU"
        )
        self.pooled = nn.Sequential(nn.Linear(channels[-1], branch), nn.ReLU(inplace=True))
        self.join = convolution(5 * branch, width, 1)
        self.reduce = nn.ModuleList([convolution(channels[level], skip_width, 1) for level in self.skips])
        widths = [width, *(max(width >> step, skip_width) for step in range(1, len(self.skips) + 1))]
        self.sharpen = nn.ModuleList(
            [convolution(before + skip_width, after, 3) for before, after in itertools.pairwise(widths)]
        )
        self.width = widths[-1]
        self.logit = Convolution(spatial_dims, self.width, outputs, kernel_size=1, conv_only=True)

    def forward(self, features: list[torch.Tensor], size: list[int]) -> torch.Tensor:
        """Logits (B, outputs, *size) from the encoder's feature maps, finest first."""
        logit: torch.Tensor = self.logit(self.decode(features))
        return functional.interpolate(logit, size=size, mode=self.mode)

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """The last map before the logits, (B, ``width``, *map of the finest skip)."""
        last = features[-1]
        pyramid, pooled = self.pyramid(last), self.pooled(last.flatten(2).mean(2))
        for _ in range(last.ndim - 2):
            pooled = pooled.unsqueeze(-1)
        everywhere = pooled.expand_as(pyramid[:, : pooled.shape[1]])
        decoded: torch.Tensor = self.join(torch.cat([pyramid, everywhere], dim=1))
        for step, (reduce, sharpen) in enumerate(zip(self.reduce, self.sharpen)):  # noqa: B905  # not in TorchScript
            finer = features[self.skips[step]]
            decoded = functional.interpolate(decoded, size=finer.shape[2:], mode=self.mode)
            decoded = sharpen(torch.cat([decoded, reduce(finer)], dim=1))
        return decoded
