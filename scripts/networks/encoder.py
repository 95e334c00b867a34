"""The encoder: image and attention mask in, a pyramid of feature maps out; with the cluster head, embeddings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.factories import Pool
from monai.networks.nets.resnet import ResNet
from torch import nn

from ..errors import SemclError
from .cluster_head import ClusterHead
from .decoder import AsppDecoder
from .pooling import at_points, check_pooling, pool


class QueryEncoder(nn.Module):
    """MONAI's ResNet with a stride-1 3 x 3 stem and no max-pool, so that its last feature map is 1/8 of the patch.

    Args:
        spatial_dims: 2 or 3.
        block: "basic" or "bottleneck" (ResNet-50's).
        layers: blocks of each of the four levels; (3, 4, 6, 3) for ResNet-50.
        widths: channels of each level; (64, 128, 256, 512) for ResNet-50, whose bottleneck makes four times as many.
        in_channels: image and attention mask.
    """

    def __init__(
        self,
        spatial_dims: int,
        block: str = "basic",
        layers: Sequence[int] = (2, 2, 2, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
        in_channels: int = 2,
    ) -> None:
        super().__init__()
        self.body = ResNet(
            block=block,
            layers=list(layers),
            block_inplanes=list(widths),
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_size=3,
            conv1_t_stride=1,
            no_max_pool=True,
            feed_forward=False,
            bias_downsample=False,
        )
        self._subsample_before_shortcuts(spatial_dims)
        expansion = 4 if block == "bottleneck" else 1
        self.spatial_dims = spatial_dims
        self.channels = [width * expansion for width in widths]

    def _subsample_before_shortcuts(self, spatial_dims: int) -> None:
        """Make a strided 1 x 1 convolution a subsampling and an unstrided one: the same numbers under the same names.

        On CPUs with AVX-512, oneDNN's gradient of the strided one writes outside its memory when there are fewer than
        16 channels: the process dies of a segmentation fault (seen with torch 2.13.0; tests/networks/test_encoder.py).
        """
        for level in (self.body.layer2, self.body.layer3, self.body.layer4):
            shortcut: Any = level[0].downsample
            conv, norm = shortcut
            subsample = Pool[Pool.MAX, spatial_dims](kernel_size=1, stride=conv.stride)
            conv.stride = (1,) * spatial_dims
            level[0].downsample = nn.Sequential(OrderedDict({"subsample": subsample, "0": conv, "1": norm}))

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps at 1/1, 1/2, 1/4 and 1/8 of inputs (B, 2, P, P[, P])."""
        features = self.body.act(self.body.bn1(self.body.conv1(inputs)))
        first = self.body.layer1(features)
        second = self.body.layer2(first)
        third = self.body.layer3(second)
        return [first, second, third, self.body.layer4(third)]


class ContrastNet(nn.Module):
    """Encoder and cluster head: what is pretrained. Inputs of ``PrepareViews`` -> unit embeddings.

    By pooling "patch", as in the paper's code, inputs are (B, 2, P, P[, P]), image and attention, and give one
    embedding each, (B, D). By "regions" two masks come after them, of the object and of what surrounds it, (B, 4, ...),
    and each query gives an embedding of either: first those of all objects, then of all surroundings, (2B, D). By
    "points" the same inputs give ``points`` embeddings of either, one after the other, (2B * points, D), of what a
    decoder makes of the encoder's maps there: the decoder is pretrained too (local contrast, arXiv 2006.10511), all but
    its logit.

    Args:
        encoder: the encoder.
        embedding: D.
        pooling: "patch", "regions" (``pool``) or "points" (``at_points``).
        decoder: of "points" alone.
        points: of each region.
    """

    def __init__(
        self,
        encoder: QueryEncoder,
        embedding: int = 256,
        pooling: str = "patch",
        decoder: AsppDecoder | None = None,
        points: int = 8,
    ) -> None:
        super().__init__()
        self.pooling, self.points = check_pooling(pooling), points
        self.encoder = encoder
        width = encoder.channels[-1] if pooling == "patch" else sum(encoder.channels)
        self.decoder = None
        if pooling == "points":
            if decoder is None or points < 1:
                raise SemclError(
                    "points need a decoder, and at least one",
                    found=f"decoder {decoder}, points {points}",
                    expected="the decoder that draws later, and 1 or more",
                    remedy="set points, or another pooling",
                )
            self.decoder, width = decoder, decoder.width
            decoder.logit.requires_grad_(False)
        self.head = ClusterHead(width, embedding)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of inputs, as above."""
        masks = [inputs[:, -1:]] if self.pooling == "patch" else [inputs[:, -2:-1], inputs[:, -1:]]
        features = self.encoder(inputs if self.pooling == "patch" else inputs[:, :-2])
        if self.decoder is None:
            pooled = [pool(features, mask, self.pooling) for mask in masks]
        else:
            decoded = self.decoder.decode(features)
            pooled = [at_points(decoded, mask, self.points).flatten(0, 1) for mask in masks]
        embeddings: torch.Tensor = self.head(torch.cat(pooled))
        return embeddings
