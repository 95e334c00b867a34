"""Gradient checkpointing changes memory, and nothing else."""

import copy

import pytest
import torch
from monai.networks.nets import SegResNet, SwinUNETR
from torch import nn

from scripts.errors import SemclError
from scripts.networks.checkpointing import blocks, checkpoint_blocks
from scripts.networks.device import in_training
from scripts.networks.encoder import QueryEncoder


def encoder(block: str = "basic") -> QueryEncoder:
    torch.manual_seed(0)
    return QueryEncoder(2, block, [2, 2, 2, 2], [4, 8, 8, 16])


@pytest.fixture
def batch() -> torch.Tensor:
    return torch.randn(3, 2, 32, 32, generator=torch.Generator().manual_seed(1))


def step(network: nn.Module, inputs: torch.Tensor) -> list[torch.Tensor]:
    """Outputs, gradients, and running statistics after two passes."""
    for _ in range(2):
        network.zero_grad()
        outputs = network(inputs)
        sum(one.square().mean() for one in outputs).backward()
    gradients = [weight.grad for weight in network.parameters()]
    return [*outputs, *gradients, *network.buffers()]


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_outputs_gradients_and_running_statistics_are_the_same(block, precision, batch):
    usual = in_training(encoder(block), "cpu", precision=precision)
    saving = in_training(encoder(block), "cpu", precision=precision, checkpointing=True)
    assert len(blocks(saving)) == 8
    found, expected = step(saving, batch), step(usual, batch)
    assert len(found) == len(expected)
    assert all(map(torch.equal, found, expected))


def test_a_block_may_be_called_with_arguments_by_name():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, inputs, scale=1.0):
            return self.second(self.first(inputs)) * scale

    network = nn.Sequential(Scaled())
    inputs = torch.randn(2, 3)
    expected = network[0](inputs, scale=3.0)
    assert torch.equal(checkpoint_blocks(network)[0](inputs, scale=3.0), expected)


def test_a_copy_runs_its_own_weights(batch):
    network = checkpoint_blocks(encoder())
    other = copy.deepcopy(network)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    assert network(batch)[-1].abs().sum() > 0
    assert other(batch)[-1].abs().sum() == 0


def test_weights_keep_their_names_and_evaluation_keeps_nothing_back(batch):
    assert list(checkpoint_blocks(encoder()).state_dict()) == list(encoder().state_dict())
    network = checkpoint_blocks(encoder()).eval()
    expected = encoder().eval()(batch)
    with torch.no_grad():
        assert all(map(torch.equal, network(batch), expected))


def test_compiling_it_is_refused():
    with pytest.raises(SemclError, match="gradient_checkpointing"):
        in_training(encoder(), "cpu", compiled=True, checkpointing=True)


def test_blocks_of_other_networks_are_found_and_none_inside_another():
    segresnet = SegResNet(spatial_dims=2, init_filters=8, in_channels=2, out_channels=2)
    swin = SwinUNETR(in_channels=2, out_channels=2, feature_size=12, spatial_dims=2)
    for network in (segresnet, swin):
        found = blocks(network)
        assert len(found) >= 4
        inner = [id(part) for block in found for part in list(block.modules())[1:]]
        assert not set(inner) & {id(block) for block in found}
    assert blocks(nn.Conv2d(1, 1, 3)) == []
