"""Conv-norm fusion: the same numbers without any batch normalisation, for every network a stage can have."""

import copy

import pytest
import torch
from torch import nn

from scripts.networks.decoder import AsppDecoder
from scripts.networks.encoder import QueryEncoder
from scripts.networks.fusion import NORMS, fuse_norms, fused
from scripts.refine.refiner import Refiner


def trained(dims: int, block: str, skips: list[int]) -> Refiner:
    """A refiner whose normalisations have running statistics."""
    torch.manual_seed(0)
    encoder = QueryEncoder(dims, block, [1, 1, 1, 1], [4, 4, 8, 8])
    decoder = AsppDecoder(dims, encoder.channels, width=16, dilations=[1, 2, 3], skips=skips, skip_width=4)
    network = Refiner(encoder, decoder)
    for module in network.modules():
        if isinstance(module, NORMS):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize("skips", [[], [0, 1, 2]], ids=["the paper's decoder", "skips"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_fused_refiner_computes_the_same(dims, block, skips):
    network = trained(dims, block, skips)
    fused = fuse_norms(copy.deepcopy(network))
    assert sum(isinstance(module, NORMS) for module in network.modules()) > 10
    assert not any(isinstance(module, NORMS) for module in fused.modules())
    queries = torch.randn(2, 2, *[16] * dims)
    with torch.no_grad():
        expected = network(queries)
        torch.testing.assert_close(fused(queries), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01  # and not all the same


def test_a_normalisation_that_follows_no_convolution_is_left():
    network = nn.ModuleDict({"conv1": nn.Conv2d(2, 2, 1), "bn2": nn.BatchNorm2d(2), "other": nn.InstanceNorm2d(2)})
    before = dict(network.named_modules())
    fuse_norms(network)
    assert dict(network.named_modules()) == before
    assert not network.training


class PreActivation(nn.Module):
    """A block of one's own, whose norms come before the convolutions of their names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.shortcut = nn.ModuleDict({"0": nn.Conv2d(3, 3, 1), "1": nn.BatchNorm2d(3)})
        nn.init.normal_(self.bn1.running_mean)
        nn.init.uniform_(self.bn1.running_var, 0.5, 2)
        nn.init.normal_(self.shortcut["1"].running_mean)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        shortcut = self.shortcut["0"](self.shortcut["1"](inputs))
        return self.conv1(torch.relu(self.bn1(inputs))) + shortcut


def test_a_block_that_normalises_before_it_convolves_computes_the_same():
    torch.manual_seed(0)
    network, inputs = PreActivation().eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(fused(network)(inputs), network(inputs))


def test_a_module_that_is_run_twice_keeps_both_places():
    relu = nn.ReLU()
    network = nn.Sequential(relu, nn.Conv2d(1, 2, 3), relu, nn.BatchNorm2d(2))
    assert isinstance(fuse_norms(network)[3], nn.BatchNorm2d)


def test_a_normalisation_of_the_batch_at_hand_is_left():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False))
    assert isinstance(fuse_norms(network)[1], nn.BatchNorm2d)


def test_a_fused_copy_leaves_the_network_as_it_is():
    network = nn.Sequential(nn.ModuleDict({"conv": nn.Conv2d(1, 2, 3)})["conv"], nn.BatchNorm2d(2)).train()
    copied = fused(network)
    assert copied is not network
    assert network.training
    assert isinstance(network[1], nn.BatchNorm2d)


def test_what_cannot_be_fused_is_returned_as_it_is():
    plain, scripted = nn.Conv2d(1, 2, 3), torch.jit.script(nn.BatchNorm2d(2))
    assert fused(plain) is plain
    assert fused(scripted) is scripted
    assert fused(len) is len
    by_tensorrt = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    by_tensorrt._trt_compiler = "as monai.networks.trt_compile leaves it"
    assert fused(by_tensorrt) is by_tensorrt


@pytest.mark.parametrize(
    "norm",
    [
        torch.nn.utils.parametrizations.weight_norm,
        torch.nn.utils.weight_norm,
        torch.nn.utils.parametrizations.spectral_norm,
        torch.nn.utils.spectral_norm,
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_convolution_whose_weights_are_computed_is_left_as_it_is(norm):
    network = nn.Sequential(norm(nn.Conv2d(1, 4, 3)), nn.BatchNorm2d(4)).eval()
    assert fused(network) is network
    assert isinstance(fuse_norms(network)[1], nn.BatchNorm2d)
