"""What a step keeps: counted on fake tensors as on real ones, and presets that fit their cards."""

import re

import pytest
import torch
from monai.networks.nets import UNet
from torch._subclasses.fake_tensor import FakeTensorMode

from bench import kept
from bench.kept import CARDS, FILLED, GIB, STAGES, kept_for_backward, step_bytes
from scripts.networks.checkpointing import checkpoint_blocks
from scripts.networks.encoder import QueryEncoder


def encoder() -> QueryEncoder:
    return QueryEncoder(2, "bottleneck", [2, 2, 2, 2], [4, 8, 8, 16])


def test_a_convolution_keeps_its_input_and_a_relu_its_output():
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU())
    assert kept_for_backward(network, torch.zeros(3, 2, 8, 8)) == 4 * 3 * (2 + 4) * 64


@pytest.mark.parametrize("change", [lambda network: network, checkpoint_blocks], ids=["usual", "checkpointed"])
def test_fake_tensors_keep_what_real_ones_keep(change):
    shape = (3, 2, 32, 32)
    with FakeTensorMode():
        fake = kept_for_backward(change(encoder()), torch.zeros(shape))
    assert fake == kept_for_backward(change(encoder()), torch.zeros(shape)) > 0


def test_less_is_kept_with_checkpoints():
    inputs = torch.zeros(3, 2, 32, 32)
    assert kept_for_backward(checkpoint_blocks(encoder()), inputs) < 0.4 * kept_for_backward(encoder(), inputs)


def test_a_network_without_blocks_keeps_the_same():
    network = UNet(2, 1, 2, (4, 8), (2,))
    assert kept_for_backward(network, torch.zeros(1, 1, 16, 16)) > 0


@pytest.mark.parametrize("name", CARDS)
def test_a_preset_fits_its_card(name, phantoms):
    for stage in STAGES:
        assert step_bytes(stage, ["standard", name], str(phantoms)) < FILLED * CARDS[name] * GIB


def test_without_checkpoints_the_smallest_card_would_be_too_small(phantoms):
    assert step_bytes("pretrain", ["standard"], str(phantoms)) > FILLED * CARDS["card_12"] * GIB


def test_the_table_is_printed_and_a_preset_that_does_not_fit_named(phantoms, capsys, monkeypatch):
    monkeypatch.setattr(kept, "CARDS", {"card_12": 1})
    with pytest.raises(SystemExit, match="card_12"):
        kept.main(str(phantoms), check=True)
    assert re.search(r"\| `card_12.yaml` \|( \d+\.\d \|){4}", capsys.readouterr().out)
