"""Synchronised batch normalisation over all ranks, on GPU and CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class CpuSyncBatchNorm(_BatchNorm):
    """PyTorch's SyncBatchNorm, which supports GPUs only, for a CPU; all ranks must hold equal parts of the batch."""

    def _check_input_dim(self, inputs: torch.Tensor) -> None:
        """Accept any number of axes."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(inputs)
        dtype = inputs.dtype
        inputs = inputs.to(
            torch.promote_types(dtype, torch.float32)
        )  # statistics of half precision would be too coarse
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        shape = [1, -1] + [1] * (inputs.ndim - 2)
        mean = mean_of_ranks(inputs.mean(axes)).view(shape)
        centred = inputs - mean
        variance = mean_of_ranks(centred.square().mean(axes))
        self._update(mean.detach().flatten(), variance.detach(), inputs.numel() // inputs.shape[1])
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        normed = centred * scale.view(shape)
        return (torch.add(normed, self.bias.view(shape)) if self.affine else normed).to(dtype)

    def _update(self, mean: torch.Tensor, variance: torch.Tensor, own: int) -> None:
        """Update the running statistics with a batch's; ``own`` is the number of values per channel on this rank."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        count = own * dist.get_world_size()
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * count / (count - 1), weight)


class _Mean(torch.autograd.Function):
    """Mean of a tensor over the ranks; its gradient is the mean of their gradients."""

    @staticmethod
    def forward(context: Any, own: torch.Tensor) -> torch.Tensor:
        return _mean(own)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _mean(gradients[0])


def mean_of_ranks(own: torch.Tensor) -> torch.Tensor:
    """Mean of a tensor over the ranks, differentiable."""
    mean: torch.Tensor = _Mean.apply(own)  # type: ignore[no-untyped-call]
    return mean


def _mean(own: torch.Tensor) -> torch.Tensor:
    total = own.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total.div_(dist.get_world_size())


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """Make every batch norm of a network use the statistics of all ranks; weights and their names stay."""
    if device.type != "cpu":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = CpuSyncBatchNorm
    return network
