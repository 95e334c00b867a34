"""Conv-norm fusion: batch normalisation merged into the preceding convolution, for faster inference."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def fused(network: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A copy of a network with its batch normalisations fused (``fuse_norms``), for inference.

    A network without any is returned as it is, and so are a function and one that TorchScript or TensorRT runs.
    """
    if not isinstance(network, nn.Module) or isinstance(network, torch.jit.ScriptModule):
        return network
    if hasattr(network, "_trt_compiler"):  # by monai.networks.trt_compile, which replaces forward
        return network
    has_norms = any(isinstance(module, NORMS) for module in network.modules())
    return fuse_norms(copy.deepcopy(network)) if has_norms else network


def fuse_norms(network: nn.Module) -> nn.Module:
    """Fuse every batch normalisation of a network with its convolution, in place, and switch to evaluation mode.

    Pairs are recognised by MONAI's names: ``conv`` and ``adn.N`` of a Convolution, ``conv1`` and ``bn1`` of a ResNet
    and its blocks, and ``0`` and ``1`` of a ResNet's shortcut. Other normalisations are left as they are.
    """
    network.eval()
    for module in network.modules():
        parts = dict(module.named_children())
        for name, part in parts.items():
            norm = _norm_after(name)
            holder, _, last = norm.rpartition(".")
            owner = parts.get(holder) if holder else module
            following = getattr(owner, last, None) if owner is not None else None
            if isinstance(part, CONVOLUTIONS) and isinstance(following, NORMS):
                setattr(module, name, fuse_conv_bn_eval(part, following))
                setattr(owner, last, nn.Identity())
    return network


def _norm_after(name: str) -> str:
    """Name of the normalisation after a convolution of that name."""
    if name == "conv":
        return "adn.N"
    return "1" if name == "0" else name.replace("conv", "bn")
