"""Pooling a feature map over the patch, or under the attention mask."""

import pytest
import torch

from scripts.contrast.encoder import ContrastNet, QueryEncoder
from scripts.contrast.pooling import pool
from scripts.errors import SemclError


@pytest.mark.parametrize("dims", [2, 3])
def test_over_the_patch_only_the_mean_over_space_counts(dims):
    features, inputs = torch.randn(2, 6, *[4] * dims), torch.rand(2, 2, *[8] * dims)
    shuffled = features.flatten(2)[:, :, torch.randperm(4**dims)].view_as(features)
    pooled = pool(features, inputs, "patch")
    assert pooled.shape == (2, 6)
    torch.testing.assert_close(pooled, features.flatten(2).mean(2))
    torch.testing.assert_close(pooled, pool(shuffled, inputs, "patch"))


@pytest.mark.parametrize("dims", [2, 3])
def test_under_the_attention_a_place_counts_by_what_the_mask_covers_of_it(dims):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, *[4] * dims, generator=generator)
    inputs = (torch.rand(3, 2, *[8] * dims, generator=generator) > 0.7).float()
    expected = torch.zeros(3, 5)
    for query in range(3):
        total = 0.0
        for place in torch.cartesian_prod(*[torch.arange(4)] * dims).tolist():
            cell = tuple(slice(2 * at, 2 * at + 2) for at in place)
            cover = float(inputs[(query, 1, *cell)].mean())
            expected[query] += cover * features[(query, slice(None), *place)]
            total += cover
        expected[query] /= total
    torch.testing.assert_close(pool(features, inputs, "attention"), expected, atol=1e-5, rtol=1e-5)


def test_an_empty_mask_is_no_division_by_zero():
    features = torch.randn(2, 3, 4, 4, requires_grad=True)
    inputs = torch.zeros(2, 2, 8, 8)
    pooled = pool(features, inputs, "attention")
    torch.testing.assert_close(pooled, features.flatten(2).mean(2))
    pooled.sum().backward()
    assert torch.isfinite(features.grad).all()


def test_what_lies_outside_the_mask_does_not_move_an_embedding_s_pooling():
    network = ContrastNet(QueryEncoder(2, "basic", (1, 1, 1, 1), (4, 4, 8, 8)), 16, pooling="attention").eval()
    features = [torch.zeros(1, 4, 4, 4), torch.randn(1, 8, 2, 2)]
    inputs = torch.zeros(1, 2, 16, 16)
    inputs[:, 1, :8, :8] = 1
    changed = features[-1].clone()
    changed[:, :, 1, 1] += 5
    first, second = (pool(one, inputs, network.pooling) for one in (features[-1], changed))
    assert torch.equal(first, second)


def test_another_pooling_is_refused():
    with pytest.raises(SemclError, match=r"(?s)no such pooling.*patch or attention"):
        ContrastNet(QueryEncoder(2), pooling="mask")
