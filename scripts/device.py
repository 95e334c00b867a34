"""Where and how a network's weights lie."""

from __future__ import annotations

import torch
from torch import nn

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
