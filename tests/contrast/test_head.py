"""The cluster head."""

import pytest
import torch

from scripts.contrast.head import ClusterHead


@pytest.mark.parametrize("spatial", [(5, 7), (3, 4, 5)])
def test_embeddings_have_unit_length(spatial):
    embeddings = ClusterHead(6, 10)(torch.randn(4, 6, *spatial))
    assert embeddings.shape == (4, 10)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(4))


def test_only_the_mean_over_space_counts():
    head, features = ClusterHead(6, 10), torch.randn(2, 6, 4, 4)
    shuffled = features.flatten(2)[:, :, torch.randperm(16)].view_as(features)
    assert torch.allclose(head(features), head(shuffled), atol=1e-6)
