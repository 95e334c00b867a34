"""Precision: what runs in bfloat16, and that float32 and weights stay as they were."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn

from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.errors import SemclError
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.device import in_training, on_device
from scripts.networks.encoder import QueryEncoder
from scripts.networks.fusion import fused
from scripts.networks.pooling import RegionPooling
from tests.stages import workflow_of


def encoder() -> QueryEncoder:
    torch.manual_seed(0)
    return QueryEncoder(2, "basic", [1, 1, 1, 1], [4, 8, 8, 16]).eval()


@pytest.fixture
def batch() -> torch.Tensor:
    return torch.randn(3, 2, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_float32_and_float16_on_a_cpu_change_nothing(batch, precision):
    expected = encoder()(batch)
    found = on_device(encoder(), "cpu", channels_last=False, precision=precision)(batch)
    assert all(map(torch.equal, found, expected))


def test_in_bfloat16_convolutions_are_and_outputs_weights_and_gradients_are_not(batch):
    network, kinds = in_training(encoder(), "cpu", precision="bfloat16"), set()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: kinds.add(output.dtype))
    maps = network(batch)
    sum(one.square().mean() for one in maps).backward()
    assert kinds == {torch.bfloat16}
    assert {one.dtype for one in maps} == {torch.float32}
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert {weight.grad.dtype for weight in network.parameters() if weight.grad is not None} == {torch.float32}
    for found, expected in zip(maps, encoder()(batch), strict=True):
        assert not torch.equal(found, expected)
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_weights_keep_their_names():
    assert list(on_device(encoder(), "cpu", precision="bfloat16").state_dict()) == list(encoder().state_dict())


def test_a_copy_runs_its_own_weights_at_the_same_precision(batch):
    network = on_device(encoder(), "cpu", precision="bfloat16")
    before = network(batch)[-1]
    other = copy.deepcopy(network)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    assert torch.equal(network(batch)[-1], before)
    assert not torch.equal(other(batch)[-1], before)
    torch.testing.assert_close(fused(network)(batch)[-1], before, rtol=0.05, atol=0.05)


def test_a_copy_whose_turn_is_over_frees_its_memory_at_once(batch):
    network = on_device(encoder(), "cpu", precision="bfloat16")
    gc.disable()
    try:
        copied = fused(network)
        copied(batch)
        left = weakref.ref(copied)
        del copied
        assert left() is None
    finally:
        gc.enable()


def test_it_can_be_saved_whole(batch):
    network = on_device(encoder(), "cpu", precision="bfloat16")
    again = pickle.loads(pickle.dumps(network))
    assert torch.equal(again(batch)[-1], network(batch)[-1])
    assert again.forward.network() is again


def test_it_can_be_set_back(batch):
    network = on_device(encoder(), "cpu", channels_last=False, precision="bfloat16")
    again = on_device(network, "cpu", channels_last=False)
    assert all(map(torch.equal, again(batch), encoder()(batch)))


def test_an_unknown_precision_is_refused():
    with pytest.raises(SemclError, match="precision"):
        on_device(nn.Conv2d(2, 4, 3), "cpu", precision="half")


def test_it_is_one_graph():
    network = on_device(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU()), "cpu", precision="bfloat16")
    batch = torch.randn(1, 2, 8, 8)
    assert torch.equal(torch.compile(network, backend="eager", fullgraph=True)(batch), network(batch))


def test_pretraining_in_bfloat16_follows_float32():
    """Losses of both, step by step, and at the end less than at the beginning."""
    curves, criterion = {}, SemanticContrastiveLoss(0.1)
    for precision in ("float32", "bfloat16"):
        network = in_training(ContrastNet(encoder(), 8, RegionPooling()), "cpu", precision=precision)
        torch.manual_seed(2)
        for weight in network.head.parameters():
            nn.init.normal_(weight, std=0.3)
        optimizer = torch.optim.AdamW(network.parameters(), 0.002)
        inputs, curve = torch.rand(6, 4, 32, 32), []
        for _ in range(8):
            loss = criterion(network(inputs), torch.arange(12) % 3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        curves[precision] = torch.tensor(curve)
    assert curves["bfloat16"][-1] < curves["bfloat16"][0]
    torch.testing.assert_close(curves["bfloat16"], curves["float32"], rtol=0.1, atol=0.05)


NETWORKS = {  # of each stage
    "coarse": ["network"],
    "pretrain": ["network"],
    "pretrain_slices": ["network"],
    "segment": ["network"],
    "train": ["network"],
    "maps": ["network"],
    "inference": ["network", "coarse_def"],
    "segment_inference": ["network"],
}
TRAINING = ("coarse", "pretrain", "train")


@pytest.mark.parametrize("stage", NETWORKS)
def test_networks_of_every_stage_run_at_the_precision_of_the_config(phantoms, tmp_path, stage):
    given = {"dataset_dir": str(phantoms), "output_dir": str(tmp_path), "ckpt_dir": str(tmp_path / "models")}
    given |= {"labels": "$scripts.LabelTable.load(@dataset_dir)", "settings": "given"}
    for precision in ("float32", "bfloat16"):
        workflow = workflow_of(stage, precision=precision, **given)
        workflow.initialize()
        parser = workflow.parser
        if stage == "inference":
            parser.get_parsed_content("coarse")
        for name in NETWORKS[stage]:
            network = parser.get_parsed_content(name)
            assert ("forward" in vars(network)) == (precision == "bfloat16")
        if stage in TRAINING:
            assert parser.get_parsed_content("train#trainer#amp") is False


@pytest.mark.parametrize("stage", TRAINING)
def test_gradients_are_scaled_in_float16_alone(phantoms, tmp_path, stage):
    given = {"dataset_dir": str(phantoms), "output_dir": str(tmp_path)}
    workflow = workflow_of(stage, precision="float16", **given)
    workflow.initialize()
    assert workflow.parser.get_parsed_content("train#trainer#amp") is True
