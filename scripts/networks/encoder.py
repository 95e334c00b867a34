"""The encoder, from image and attention mask to a pyramid of feature maps, and the contract of any other encoder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from operator import eq, ge
from typing import Any

import torch
from monai.networks.layers.factories import Pool
from monai.networks.nets.resnet import ResNet
from torch import nn

from ..errors import SemclError

CONTRACT = {  # attribute -> its meaning
    "spatial_dims": "2 or 3",
    "channels": "channels of each feature map, finest map first",
    "strides": "voxels of the patch per cell of each feature map, along the axis with most, increasing",
}


def check_encoder(encoder: nn.Module) -> None:
    """Check that a module is an encoder: ``CONTRACT``, and a forward pass that returns its feature maps, finest first.

    The pass is over a small input of zeros, without gradients; a module without convolutions is not run.

    Raises:
        SemclError: for missing or inconsistent attributes, and for maps that differ from them.
    """
    missing = [name for name in CONTRACT if not hasattr(encoder, name)]
    found = f"{type(encoder).__name__} without {', '.join(missing)}" if missing else ""
    if not missing:
        channels, strides = list(encoder.channels), list(encoder.strides)  # type: ignore[arg-type]  # attributes of any
        if not channels or len(channels) != len(strides) or strides != sorted(strides):
            found = f"{type(encoder).__name__} with channels {channels} and strides {strides}"
        elif encoder.spatial_dims not in (2, 3):
            found = f"{type(encoder).__name__} of {encoder.spatial_dims} dimensions"
    if not found:
        found = _tried(encoder)
    if found:
        raise SemclError(
            "this module is not an encoder",
            found=found,
            expected="; ".join(f"{name}: {meaning}" for name, meaning in CONTRACT.items())
            + "; a forward pass that returns a list of these maps",
            remedy="give the encoder these attributes, or wrap it in a module that has them",
        )


def input_channels(network: nn.Module, spatial_dims: int) -> int | None:
    """Channels of the input of a network's first convolution; None without one."""
    first = next((weight for weight in network.parameters() if weight.ndim == spatial_dims + 2), None)
    return None if first is None else first.shape[1]


def read_by(decoder: Any, encoder: Any) -> list[int]:
    """Numbers of an encoder's maps that a decoder reads: its ``skips`` and the last; all where it does not say."""
    count = len(encoder.channels)
    return [*getattr(decoder, "skips", range(count - 1)), count - 1]


def freeze_unread(encoder: Any, read: Collection[int]) -> list[str]:
    """Freeze the weights that none of the maps that are read depends on, and return their names.

    Ranks would wait for the gradients of such weights, which have none: SwinUNETR's blocks beside the last map.

    Args:
        encoder: the encoder.
        read: numbers of its maps, 0 for the finest.
    """
    seen = input_channels(encoder, encoder.spatial_dims)
    if seen is None or set(read) >= set(range(len(encoder.channels))):
        return []
    training, weights = encoder.training, {name: one for name, one in encoder.named_parameters() if one.requires_grad}
    with torch.enable_grad():
        maps = encoder.eval()(torch.zeros(_shape(encoder, seen), device=next(encoder.parameters()).device))
        total = torch.stack([maps[level].sum() for level in read]).sum()
    encoder.train(training)
    found = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    unread = [name for name, gradient in zip(weights, found, strict=True) if gradient is None]
    for name in unread:
        weights[name].requires_grad_(False)
    return unread


def _shape(encoder: Any, channels: int) -> tuple[int, ...]:
    """The shape of a small input: a norm needs two cells in the last map."""
    side = int(encoder.strides[-1])
    return (1, channels, 2 * side, *[side] * (encoder.spatial_dims - 1))


def _tried(encoder: Any) -> str:
    """What is wrong with the maps that an encoder returns; empty if nothing is."""
    seen = input_channels(encoder, encoder.spatial_dims)
    if seen is None:
        return ""
    shape = _shape(encoder, seen)
    training = encoder.training
    name, device = type(encoder).__name__, next(encoder.parameters()).device
    try:
        with torch.no_grad():
            maps = encoder.eval()(torch.zeros(shape, device=device))
    except Exception as error:  # a module of the user's own raises whatever it likes
        return f"{name}, which cannot be run on an input {shape}: {type(error).__name__}: {error}"
    finally:
        encoder.train(training)
    if not isinstance(maps, list | tuple) or not all(isinstance(one, torch.Tensor) for one in maps):
        return f"{name}, which returns a {type(maps).__name__} instead of a list of feature maps"
    if [one.shape[1] for one in maps] != list(encoder.channels):
        return f"{name} with channels {list(encoder.channels)}, whose maps have {[one.shape[1] for one in maps]}"
    for stride, one in zip(encoder.strides, maps, strict=True):
        cells = [-(-whole // stride) for whole in shape[2:]]  # along the axis that is subsampled most
        fits = one.ndim == len(shape) and all(map(ge, one.shape[2:], cells)) and any(map(eq, one.shape[2:], cells))
        if not fits:
            return f"{name} with a stride of {stride}, whose map is {tuple(one.shape)} of an input {shape}"
    return ""


class QueryEncoder(nn.Module):
    """MONAI's ResNet with a stride-1 3 x 3 stem and no max-pool, so that its last feature map is 1/8 of the patch.

    Args:
        spatial_dims: 2 or 3.
        block: "basic" or "bottleneck" (ResNet-50's).
        layers: blocks of each of the four levels; (3, 4, 6, 3) for ResNet-50.
        widths: channels of each level; (64, 128, 256, 512) for ResNet-50, whose bottlenecks have four times as many.
        in_channels: channels of the image, plus one for the attention mask.
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
        expansion = 4 if block == "bottleneck" else 1
        self.spatial_dims = spatial_dims
        self.channels = [width * expansion for width in widths]
        self.strides = [1, 2, 4, 8]
        self.block, self.layers, self.widths = block, list(layers), list(widths)
        self.take(self.whole(in_channels))

    def whole(self, in_channels: int, out_channels: int = 1) -> ResNet:
        """MONAI's network of the same numbers, with weights of its own; it has no outputs, only feature maps."""
        return ResNet(
            block=self.block,
            layers=self.layers,
            block_inplanes=self.widths,
            spatial_dims=self.spatial_dims,
            n_input_channels=in_channels,
            conv1_t_size=3,
            conv1_t_stride=1,
            no_max_pool=True,
            feed_forward=False,
            bias_downsample=False,
        )

    def take(self, network: nn.Module) -> None:
        """Use the weights of a network as ``whole`` makes it; they are shared from then on."""
        self.body: Any = network
        self._subsample_before_shortcuts(self.spatial_dims)

    def _subsample_before_shortcuts(self, spatial_dims: int) -> None:
        """Replace strided 1 x 1 convolutions by subsampling and unstrided ones: same values, same names of weights.

        On CPUs with AVX-512, oneDNN's gradient of the strided one writes out of bounds when there are fewer than 16
        channels, a segmentation fault (seen with torch 2.13.0; tests/networks/test_encoder.py).
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
