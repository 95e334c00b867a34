"""The network of pretraining: what of an encoder it trains."""

import pytest
import torch

from scripts.networks.contrast_net import ContrastNet
from scripts.networks.pooling import PatchPooling
from tests.networks.test_monai_encoders import ENCODERS, small


@pytest.mark.parametrize("name", ENCODERS)
def test_every_weight_that_is_trained_has_a_gradient_when_one_map_is_read(name):
    """Or ranks would wait for each other forever."""
    encoder, inputs = small(name), torch.randn(4, 2, 64, 64)
    network = ContrastNet(encoder, 8, PatchPooling())
    (network(inputs) * torch.randn(4, 8)).sum().backward()
    assert [key for key, value in network.named_parameters() if value.requires_grad and value.grad is None] == []
    frozen = {key.split(".")[0] for key, value in encoder.named_parameters() if not value.requires_grad}
    assert frozen == ({"encoder1", "encoder2", "encoder3", "encoder4"} if name == "swinunetr" else set())
