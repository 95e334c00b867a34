"""Gradient checkpointing: a network's blocks keep their inputs alone, and are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.checkpoint import checkpoint

LAYERS = (_ConvNd, nn.Linear)


def checkpoint_blocks(network: nn.Module) -> nn.Module:
    """Checkpoint the blocks of a network in training, in place: same outputs, gradients and weights' names.

    A block is what lies in an ``nn.Sequential`` or ``nn.ModuleList`` and has at least two convolutions or linear
    layers, such as a residual block. A step takes about a third longer (one more forward pass), and keeps a block's
    input instead of all that its layers compute.

    Args:
        network: any module; without such blocks it stays as it is.
    """
    for block in blocks(network):
        block.forward = Checkpointed(block)  # an attribute of the instance
    return network


def blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network, as ``checkpoint_blocks`` finds them; none inside another."""
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in network.modules():  # outer ones first
        if isinstance(module, nn.Sequential | nn.ModuleList) and id(module) not in inside:
            for child in module:
                layers = sum(isinstance(part, LAYERS) for part in child.modules())
                if layers > 1 and not isinstance(child, nn.Sequential | nn.ModuleList) and id(child) not in inside:
                    found.append(child)
                    inside |= {id(part) for part in child.modules()}
    return found


class Checkpointed:
    """A block's forward pass: an object, not a closure, so that a copy of the network runs its own weights."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not (self.block.training and torch.is_grad_enabled()):
            return self._run(*inputs, **options)
        return checkpoint(self._run, *inputs, use_reentrant=False, context_fn=self._contexts, **options)

    def _run(self, *inputs: Any, **options: Any) -> Any:
        return type(self.block).forward(self.block, *inputs, **options)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Contexts of the first pass, and of the one in the backward pass."""
        return nullcontext(), _counted_already(self.block)


@contextmanager
def _counted_already(block: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norms as the first pass has left them."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)
