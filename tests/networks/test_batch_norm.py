"""Synchronised batch norm on a CPU; with a single rank it is PyTorch's, for two see tests/distributed."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scripts.networks import batch_norm
from scripts.networks.batch_norm import CpuSyncBatchNorm, synchronise


@pytest.fixture(autouse=True)
def one_rank(monkeypatch):
    monkeypatch.setattr(batch_norm, "dist", SimpleNamespace(all_reduce=lambda tensor: None, get_world_size=lambda: 1))


@pytest.mark.parametrize(
    "settings", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}], ids=str
)
@pytest.mark.parametrize(("norm", "shape"), [(nn.BatchNorm2d, (5, 3, 4, 6)), (nn.BatchNorm3d, (2, 3, 4, 6, 2))])
def test_it_computes_what_batch_norm_does(norm, shape, settings):
    torch.manual_seed(0)
    usual, ours = norm(3, **settings), synchronise(norm(3, **settings), torch.device("cpu"))
    assert type(ours) is CpuSyncBatchNorm
    inputs = [torch.randn(shape) * 3 + 1 for _ in range(3)]
    for training in (True, False):
        for module in (usual, ours):
            module.train(training)
        for batch in inputs:
            given = [batch.clone().requires_grad_() for _ in range(2)]
            outputs = [module(one) for module, one in zip((usual, ours), given, strict=True)]
            torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-5)
            for output in outputs:
                (output * torch.linspace(-1, 2, output.numel()).view_as(output)).sum().backward()
            torch.testing.assert_close(given[1].grad, given[0].grad, rtol=1e-4, atol=1e-4)
    for name, value in usual.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-5)
    for one, other in zip(usual.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-4)


def test_weights_and_their_names_stay():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2), nn.InstanceNorm2d(2))
    )
    names, weights = list(network.state_dict()), list(network.parameters())
    network = synchronise(network, torch.device("cpu"))
    assert list(network.state_dict()) == names
    assert all(one is other for one, other in zip(network.parameters(), weights, strict=True))
    assert sum(isinstance(module, CpuSyncBatchNorm) for module in network.modules()) == 2


def test_on_other_devices_it_is_pytorchs():
    network = synchronise(nn.Sequential(nn.BatchNorm2d(2)), torch.device("cuda"))
    assert type(network[0]) is nn.SyncBatchNorm


def test_statistics_of_half_precision_are_computed_in_single():
    torch.manual_seed(0)
    ours, exact = (synchronise(nn.BatchNorm2d(3), torch.device("cpu")) for _ in range(2))
    inputs = torch.randn(5, 3, 4, 6).bfloat16()
    found = ours(inputs)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, exact(inputs.float()).bfloat16())
    assert torch.equal(ours.running_mean, exact.running_mean)
    assert torch.equal(ours.running_var, exact.running_var)
