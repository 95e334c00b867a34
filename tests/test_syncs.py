"""Nothing on a device is read by the host in a training step: on the meta device a read is an error."""

import contextlib

import pytest
import torch

from scripts.contrast.loss import SemanticContrastiveLoss
from scripts.contrast.matrix import MOST_ROWS_ELSEWHERE
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.encoder import QueryEncoder
from scripts.networks.pooling import RegionPooling
from scripts.queries.views import Views


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """Autocast does not know the meta device."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def test_reading_from_the_meta_device_is_an_error():
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros(1, device="meta").item()


@pytest.mark.parametrize("rows", [40, MOST_ROWS_ELSEWHERE + 1], ids=["one matrix", "tiles"])
@pytest.mark.parametrize("options", [{}, {"summation": "in"}, {"learnable": True}, {"temperature": 0.01}])
def test_the_loss_and_its_gradient_wait_for_nothing(options, rows):
    embeddings = torch.randn(rows, 8, device="meta", requires_grad=True)
    labels, intensity = torch.zeros(rows, dtype=torch.long, device="meta"), torch.rand(rows, device="meta")
    loss = SemanticContrastiveLoss(**options).to("meta")(embeddings, labels, intensity)
    loss.backward()
    assert embeddings.grad is not None


@pytest.mark.parametrize("dims", [2, 3])
def test_views_wait_for_nothing(dims):
    views = Views(16, gamma=0.1, blur=1, contrast=0.1, brightness=0.1)
    patches = torch.zeros(3, 1, *[24] * dims, device="meta")
    image, masks = views(patches, patches)
    assert image.shape == masks.shape == (3, 1, *[16] * dims)


def test_the_network_and_its_pooling_wait_for_nothing():
    network = ContrastNet(QueryEncoder(2, "basic", [1, 1, 1, 1], [4, 8, 8, 8]), 8, RegionPooling()).to("meta")
    embeddings = network(torch.zeros(3, 4, 32, 32, device="meta"))
    embeddings.sum().backward()
    assert embeddings.shape == (6, 8)
