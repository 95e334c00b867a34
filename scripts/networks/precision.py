"""Precision of a network's forward pass: float32, or bfloat16 or float16 in the operators that bear it (autocast)."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn

from ..errors import one_of

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def set_precision(network: nn.Module, precision: str, device: torch.device | str) -> nn.Module:
    """Run a network's forward passes on a device at a precision, in place; its weights and its output stay float32.

    What is computed from the output, such as a loss or an interpolation, is outside, and so is float32. float16 needs
    its gradients scaled, which PyTorch does on CUDA: elsewhere it is float32.

    Args:
        network: any module; its output is a tensor, or a list or tuple of tensors.
        precision: float32, bfloat16 or float16.
        device: where it runs.

    Raises:
        SemclError: for another precision.
    """
    one_of("precision", precision, tuple(PRECISIONS))
    kind, dtype = torch.device(device).type, PRECISIONS[precision]
    if dtype is None or (dtype == torch.float16 and kind != "cuda"):
        network.__dict__.pop("forward", None)
    else:
        network.forward = _Forward(network, kind, dtype)
    return network


class _Forward:
    """A network's forward pass under autocast: an object, not a closure, so that a copy of the network runs itself.

    It does not own the network, which owns it: a copy whose turn is over frees its memory at once.
    """

    def __init__(self, network: nn.Module, kind: str, dtype: torch.dtype) -> None:
        self.network, self.kind, self.dtype = weakref.ref(network), kind, dtype

    def __reduce__(self) -> tuple[Any, ...]:
        return _Forward, (self.network(), self.kind, self.dtype)  # of a copy: the copy

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        network: Any = self.network()
        with torch.autocast(self.kind, self.dtype):
            return _as_float32(type(network).forward(network, *inputs, **options))


def _as_float32(output: Any) -> Any:
    if isinstance(output, list | tuple):
        return type(output)(map(_as_float32, output))
    return output.float() if torch.is_tensor(output) and output.is_floating_point() else output
