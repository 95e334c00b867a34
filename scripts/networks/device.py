"""Placement of a network: device, memory layout, precision, compilation, engines, and data parallelism over ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .. import ranks
from ..errors import SemclError, one_of
from ..files import checksum_of
from ..freshness import key
from .batch_norm import synchronise
from .checkpointing import checkpoint_blocks
from .freed_memory import keep_freed_memory
from .precision import set_precision

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def on_device(
    network: nn.Module,
    device: torch.device | str,
    channels_last: bool = True,
    compiled: bool = False,
    precision: str = "float32",
    compile_mode: str = "default",
) -> nn.Module:
    """Move a 2-D or 3-D convolutional network to a device.

    Args:
        network: moved in place and returned.
        device: the device.
        channels_last: store weights channels last, the faster layout on CPU and GPU.
        compiled: compile it with ``torch.compile`` at its first call; its weights keep their names.
        precision: of its forward passes (``set_precision``).
        compile_mode: of ``torch.compile``: "default"; "reduce-overhead", with CUDA graphs; "max-autotune".

    Raises:
        SemclError: for an unknown precision or mode.
    """
    one_of("compile_mode", compile_mode, COMPILE_MODES)
    rank = max((weight.ndim for weight in network.parameters()), default=0)
    network = network.to(torch.device(device))
    if channels_last and rank in FORMATS:
        network = network.to(memory_format=FORMATS[rank])  # type: ignore[call-overload]  # torch's stub lacks it
    network = set_precision(network, precision, device)
    if compiled:
        network.compile(mode=compile_mode)
    return network


def in_training(
    network: nn.Module,
    device: torch.device | str,
    channels_last: bool = True,
    compiled: bool = False,
    sync_batchnorm: bool = True,
    precision: str = "float32",
    checkpointing: bool = False,
    compile_mode: str = "default",
) -> nn.Module:
    """Move a network to a device for training; several ranks average their gradients after each backward pass.

    On a CPU the process then keeps the memory that a step frees, for the next one (``keep_freed_memory``).

    Args:
        network: moved in place; with several ranks it is returned wrapped, around the same weights.
        device: the device.
        channels_last: store weights channels last.
        compiled: compile it with ``torch.compile``.
        sync_batchnorm: compute batch norm's statistics over the batch of all ranks; False: over this rank's part.
        precision: of its forward passes (``set_precision``); the trainer scales gradients where it is float16.
        checkpointing: compute its blocks again in the backward pass instead of keeping them (``checkpoint_blocks``).
        compile_mode: of ``torch.compile``.

    Raises:
        SemclError: for an unknown precision or mode, or a network that is to be compiled and checkpointed.
    """
    if checkpointing and compiled:
        raise SemclError(
            "a network cannot be compiled and checkpointed", found="compile and gradient_checkpointing, both true",
            expected="one of them", remedy="set compile to false where memory is short, else gradient_checkpointing",
        )  # fmt: skip
    if checkpointing:
        network = checkpoint_blocks(network)
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    if ranks.count() == 1:
        return on_device(network, device, channels_last, compiled, precision, compile_mode)
    if sync_batchnorm:
        network = synchronise(network, torch.device(device))
    network = on_device(network, device, channels_last, compiled, precision, compile_mode)
    gpu = [torch.cuda.current_device()] if torch.device(device).type == "cuda" else None
    return DistributedDataParallel(network, device_ids=gpu)


def engine_path(weights: Sequence[str], arguments: Mapping[str, Any]) -> str:
    """Path, without suffix, of a TensorRT engine beside the first weights; another one for other weights or arguments.

    Args:
        weights: files of all weights of the network; those that do not exist count as such.
        arguments: of ``monai.networks.trt_compile``.
    """
    return f"{weights[0]}.{key([list(map(checksum_of, weights)), dict(arguments)])}"
