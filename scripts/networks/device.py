"""Where and how a network's weights lie, on one device or one of each rank."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .. import ranks
from .batch_norm import synchronise

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def on_device(
    network: nn.Module, device: torch.device | str, channels_last: bool = True, compiled: bool = False
) -> nn.Module:
    """Move a 2-D or 3-D convolutional network to a device, there to be trained or used.

    Args:
        network: moved in place and returned.
        device: where to.
        channels_last: lay weights out with channels last, the faster layout on CPU and GPU.
        compiled: let ``torch.compile`` compile it at its first call; its weights keep their names.
    """
    rank = max((weight.ndim for weight in network.parameters()), default=0)
    network = network.to(torch.device(device))
    if channels_last and rank in FORMATS:
        network = network.to(memory_format=FORMATS[rank])  # type: ignore[call-overload]  # torch's stub lacks it
    if compiled:
        network.compile()
    return network


def in_training(
    network: nn.Module,
    device: torch.device | str,
    channels_last: bool = True,
    compiled: bool = False,
    sync_batchnorm: bool = True,
) -> nn.Module:
    """``on_device``, and of several ranks as one network: gradients are averaged after each backward pass.

    Args:
        network: moved in place; with several ranks it is returned wrapped, its weights still lie in ``network``.
        device: where to.
        channels_last: lay weights out with channels last.
        compiled: let ``torch.compile`` compile it.
        sync_batchnorm: take batch norm's statistics over the batch of all ranks; False: over this rank's part.
    """
    if ranks.count() == 1:
        return on_device(network, device, channels_last, compiled)
    if sync_batchnorm:
        network = synchronise(network, torch.device(device))
    network = on_device(network, device, channels_last, compiled)
    gpu = [torch.cuda.current_device()] if torch.device(device).type == "cuda" else None
    return DistributedDataParallel(network, device_ids=gpu)
