"""Conv-norm fusion: batch normalisation merged into the preceding convolution, for faster inference."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator

import torch
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck, ResNetEncoder, ResNetFeatures
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
RESNET = (ResNet, ResNetFeatures, ResNetEncoder, ResNetBlock, ResNetBottleneck)  # run bn1 after conv1, bn2 after conv2


def fused(network: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A copy of a network with its batch normalisations fused (``fuse_norms``), for inference.

    A network without any is returned as it is, and so are a function and one that TorchScript or TensorRT runs.
    """
    if not isinstance(network, nn.Module) or isinstance(network, torch.jit.ScriptModule):
        return network
    if hasattr(network, "_trt_compiler"):  # by monai.networks.trt_compile, which replaces forward
        return network
    has_pairs = any(_fits(module, *pair) for module in network.modules() for pair in _pairs(module))
    return fuse_norms(copy.deepcopy(network)) if has_pairs else network


def fuse_norms(network: nn.Module) -> nn.Module:
    """Fuse batch normalisations of a network with the convolution before them, in place; switch to evaluation mode.

    Only where it is known that one follows the other: in an ``nn.Sequential``, such as MONAI's Convolution, and in
    MONAI's ResNet and its blocks. Other normalisations are left as they are: a module of one's own may have a ``conv1``
    and a ``bn1`` and run them in another order.
    """
    network.eval()
    for module in network.modules():
        for name, owner, last in _pairs(module):
            if _fits(module, name, owner, last):
                setattr(module, name, fuse_conv_bn_eval(getattr(module, name), getattr(owner, last)))
                setattr(owner, last, nn.Identity())
    return network


def _fits(module: nn.Module, name: str, owner: nn.Module, last: str) -> bool:
    """Whether a child of a module is a convolution with plain weights, and what is run after it a normalisation."""
    conv, norm = getattr(module, name), getattr(owner, last)
    plain = isinstance(conv, CONVOLUTIONS) and "weight" in conv._parameters  # not those of a weight normalisation
    return plain and isinstance(norm, NORMS) and norm.running_mean is not None


def _pairs(module: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Names of children of a module and, of what is run right after each, the module that holds it and its name there.

    What is run after a child of an ``nn.Sequential`` may be the first child of the next one.
    """
    if type(module) in RESNET:
        names = [name for name, _ in module.named_children() if name.startswith("conv")]
        yield from ((name, module, name.replace("conv", "bn")) for name in names)
    elif _in_order(module):
        run = [(name, part) for name, part in module._modules.items() if part is not None]  # also twice the same
        for (name, _), (after, following) in itertools.pairwise(run):
            first = next(iter(following._modules), None) if _in_order(following) else None
            yield (name, module, after) if first is None else (name, following, first)


def _in_order(module: nn.Module) -> bool:
    """Whether a module runs its children one after another."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
