"""The refiner and its batches."""

import pytest
import torch

from scripts.networks.decoder import AsppDecoder
from scripts.networks.encoder import QueryEncoder
from scripts.queries.views import Views
from scripts.refine.refiner import PrepareQueries, Refiner


def refiner(dims: int = 2, freeze: bool = False) -> Refiner:
    encoder = QueryEncoder(dims, "basic", (1, 1, 1, 1), (4, 4, 8, 8))
    decoder = AsppDecoder(dims, encoder.channels, width=8, dilations=(1, 2, 3), skips=(0, 1, 2), skip_width=4)
    return Refiner(encoder, decoder, freeze)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_query_becomes_a_logit_of_its_size(dims):
    assert refiner(dims)(torch.randn(2, 2, *[16] * dims)).shape == (2, 1, *[16] * dims)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_encoder_does_not_move(freeze):
    network = refiner(freeze=freeze).train()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    network(torch.randn(4, 2, 16, 16)).sum().backward()
    torch.optim.SGD([weight for weight in network.parameters() if weight.requires_grad], lr=1.0).step()
    after = network.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before) == freeze


def test_it_learns_to_copy_its_attention_mask():
    torch.manual_seed(0)
    network = refiner()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        masks = (torch.rand(8, 1, 4, 4) > 0.5).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
        logits = network(torch.cat([torch.randn(8, 1, 16, 16), masks], dim=1))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((logits > 0).float() == masks).float().mean() > 0.95


def test_a_batch_is_image_and_attention_with_the_object_as_label():
    attention, target = torch.zeros(2, 2, 1, 20, 20)
    attention[..., :10] = 1
    target[:, :, :10] = 1
    batch = {"image": torch.rand(2, 1, 20, 20), "attention": attention, "target": target}
    inputs, label = PrepareQueries(Views(16, area=(1, 1), rotation=0))(batch, torch.device("cpu"))
    assert torch.equal(inputs[:, 1:], attention[:, :, 2:18, 2:18])
    assert torch.equal(label, target[:, :, 2:18, 2:18])


@pytest.mark.parametrize(("frozen", "rates"), [(False, [0.02, 0.005]), (True, [0.02])])
def test_a_tuned_encoder_has_its_own_learning_rate(frozen, rates):
    network = refiner(freeze=frozen)
    groups = network.rates(0.02, 0.25)
    assert [group["lr"] for group in groups] == rates
    learnt = {id(weight) for group in groups for weight in group["params"]}
    assert learnt == {id(weight) for weight in network.parameters() if weight.requires_grad}


def test_the_logit_has_the_patch_size_whatever_the_finest_map():
    network = refiner()
    network.encoder.body.conv1.stride = (2, 2)
    network.encoder.strides = [2, 4, 8, 16]
    assert network(torch.randn(2, 2, 32, 32)).shape == (2, 1, 32, 32)
