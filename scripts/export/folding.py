"""A pretrained encoder as part of an ordinary network: renamed, and its attention channel folded away."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Folded:
    """A network whose encoder has pretrained weights.

    Args:
        network: the unchanged network of the encoder's kind; its other weights are random.
        encoder: the encoder in it, which shares its weights.
        part: the encoder's weights under the names they have in the network.
        lost: layers without a bias, in which a mask other than zeros cannot be kept.
    """

    network: nn.Module
    encoder: nn.Module
    part: Weights
    lost: list[str]


def fold(encoder: Any, in_channels: int, out_channels: int, mask: float | None) -> Folded:
    """Put an encoder into an ordinary network.

    Args:
        encoder: has ``whole`` and ``take``, as ``NetworkEncoder``; its last input channel is the attention mask.
        in_channels: channels of the image.
        out_channels: of the network, for its decoder.
        mask: the constant attention that the network's first layers are to see; None keeps the channel.
    """
    network = encoder.whole(in_channels + (mask is None), out_channels)
    inside = copy.deepcopy(encoder)
    inside.take(network)
    state, lost = without_mask(encoder.state_dict(), inside.state_dict(), mask or 0.0)
    inside.load_state_dict(state)
    return Folded(network, inside, part_of(network, inside), lost)


def without_mask(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], mask: float
) -> tuple[Weights, list[str]]:
    """Weights without the attention channel where the wanted shape has none: its share at a constant mask goes to the
    bias.

    Returns:
        the weights, and the names of layers without a bias, in which a mask other than zeros is lost.
    """
    folded, lost = dict(state), []
    for name, value in state.items():
        if value.shape == wanted[name].shape:
            continue
        folded[name] = value[:, :-1]
        bias = name.removesuffix("weight") + "bias"
        if bias in state:
            folded[bias] = state[bias] + mask * value[:, -1].flatten(1).sum(1)
        elif mask:
            lost.append(name)
    return folded, lost


def part_of(network: nn.Module, part: nn.Module) -> Weights:
    """The entries of a network's state dict that are those of a part of it, under all names they have there."""

    def entries(module: nn.Module) -> dict[str, torch.Tensor]:
        kinds: list[Callable[..., Any]] = [module.named_parameters, module.named_buffers]
        return {name: value for kind in kinds for name, value in kind(remove_duplicate=False)}

    own = {id(value) for value in entries(part).values()}
    kept, state = entries(network), network.state_dict()
    return {name: value for name, value in state.items() if id(kept.get(name)) in own}


def difference(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The largest relative difference (L2 norms) between feature maps."""
    return max(float((a - b).norm() / a.norm().clamp_min(1e-12)) for a, b in zip(one, other, strict=True))
