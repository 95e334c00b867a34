"""An encoder that is the first half of a segmentation network, and can be put back into one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

from torch import nn

from ..errors import SemclError

Stride = int | Sequence[int]


class NetworkEncoder(nn.Module, ABC):
    """The encoder half of a segmentation network; ``check_encoder`` has its contract.

    Args:
        network: makes the whole network from spatial_dims, in_channels, out_channels and ``arguments``.
        spatial_dims: 2 or 3.
        in_channels: channels of the image, plus one for the attention mask.
        channels: of the feature maps, finest first.
        strides: of the feature maps.
        arguments: further ones of the network.

    Raises:
        SemclError: when the network cannot be made of these arguments.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        spatial_dims: int,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        arguments: dict[str, Any],
    ) -> None:
        super().__init__()
        self.network, self.arguments = network, arguments
        self.spatial_dims, self.channels, self.strides = spatial_dims, list(channels), list(strides)
        self.take(self.whole(in_channels))

    def whole(self, in_channels: int, out_channels: int = 2) -> nn.Module:
        """The unchanged network of the same numbers, with weights of its own."""
        try:
            return self.network(
                spatial_dims=self.spatial_dims, in_channels=in_channels, out_channels=out_channels, **self.arguments
            )
        except (TypeError, ValueError, AssertionError, KeyError) as error:
            raise SemclError(
                f"{type(self).__name__} cannot be made of these numbers",
                found=f"{self.arguments}: {error}",
                expected=f"arguments of {getattr(self.network, '__name__', 'the network')}",
                remedy="correct the encoder in your overlay, see docs/encoders.md",
            ) from error

    @abstractmethod
    def take(self, network: Any) -> None:
        """Use the modules of a network as ``whole`` makes it; the weights are shared from then on."""


def products(strides: Sequence[Stride]) -> list[int]:
    """The stride of each level from those between them, along the axis that is subsampled most."""
    axes = max((len(one) for one in strides if not isinstance(one, int)), default=1)
    per_axis = [[one] * axes if isinstance(one, int) else list(one) for one in strides]
    along = [list(accumulate((level[axis] for level in per_axis), mul)) for axis in range(axes)]
    return [max(level) for level in zip(*along, strict=True)]
