"""The cluster head."""

import torch

from scripts.networks.cluster_head import ClusterHead


def test_embeddings_have_unit_length():
    embeddings = ClusterHead(6, 10)(torch.randn(4, 6))
    assert embeddings.shape == (4, 10)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(4))
