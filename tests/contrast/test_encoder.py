"""The encoder and what is pretrained."""

import pytest
import torch

from scripts.contrast.encoder import ContrastNet, QueryEncoder


@pytest.mark.parametrize(("dims", "block", "expansion"), [(2, "basic", 1), (2, "bottleneck", 4), (3, "basic", 1)])
def test_feature_maps_are_whole_half_quarter_eighth(dims, block, expansion):
    encoder = QueryEncoder(dims, block, (1, 1, 1, 1), (4, 6, 8, 10))
    features = encoder(torch.randn(2, 2, *[32] * dims))
    assert [tuple(each.shape) for each in features] == [
        (2, width * expansion, *[32 // 2**level] * dims) for level, width in enumerate((4, 6, 8, 10))
    ]
    assert encoder.channels == [width * expansion for width in (4, 6, 8, 10)]


def test_the_attention_mask_changes_the_embedding():
    torch.manual_seed(0)
    network = ContrastNet(QueryEncoder(2, "basic", (1, 1, 1, 1), (4, 4, 8, 8)), 16).eval()
    image, mask = torch.randn(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    other = mask.clone()
    other[..., 8:20, 8:20] = 1
    first, second = network(torch.cat([image, mask], 1)), network(torch.cat([image, other], 1))
    assert (first - second).abs().max() > 1e-3


def test_resnet_50_has_its_size():
    encoder = QueryEncoder(2, "bottleneck", (3, 4, 6, 3), (64, 128, 256, 512))
    weights = sum(weight.numel() for weight in encoder.parameters())
    torchvision_resnet50_body = 23_508_032
    stem = 64 * 3 * 7 * 7 - 64 * 2 * 3 * 3  # 2 channels and 3 x 3 instead of 3 channels and 7 x 7
    assert weights == torchvision_resnet50_body - stem
