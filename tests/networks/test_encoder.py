"""The encoder and its contract."""

import subprocess
import sys

import pytest
import torch
from monai.networks.nets.resnet import ResNet

from scripts.errors import SemclError
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.decoder import AsppDecoder
from scripts.networks.encoder import QueryEncoder, check_encoder, read_by
from scripts.refine.refiner import Refiner


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


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_it_computes_what_monais_resnet_does_from_the_same_weights(dims, block):
    encoder = QueryEncoder(dims, block, (1, 2, 1, 1), (4, 6, 8, 10)).eval()
    shape = {"block_inplanes": [4, 6, 8, 10], "spatial_dims": dims, "n_input_channels": 2}
    stem = {"conv1_t_size": 3, "conv1_t_stride": 1, "no_max_pool": True, "bias_downsample": False}
    peer = ResNet(block=block, layers=[1, 2, 1, 1], feed_forward=False, **shape, **stem).eval()
    peer.load_state_dict(encoder.body.state_dict())
    inputs = torch.randn(2, 2, *[17] * dims)
    with torch.no_grad():
        pooled = encoder(inputs)[-1].flatten(2).mean(-1)
        assert torch.allclose(pooled, peer(inputs).flatten(1), atol=1e-5)


def test_an_encoder_keeps_its_contract():
    encoder = QueryEncoder(2, "basic", (1, 1, 1, 1), (4, 6, 8, 10))
    check_encoder(encoder)
    assert [32 // stride for stride in encoder.strides] == [map.shape[-1] for map in encoder(torch.randn(1, 2, 32, 32))]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"channels": None}, "without channels"),
        ({"strides": [1, 2]}, r"channels \[4, 6, 8, 10\] and strides \[1, 2\]"),
        ({"strides": [8, 4, 2, 1]}, "finest map first"),
        ({"spatial_dims": 4}, "of 4 dimensions"),
    ],
)
def test_what_is_not_an_encoder_is_refused(change, found):
    encoder = QueryEncoder(2, "basic", (1, 1, 1, 1), (4, 6, 8, 10))
    for name, value in change.items():
        delattr(encoder, name) if value is None else setattr(encoder, name, value)
    with pytest.raises(SemclError, match=rf"(?s)this module is not an encoder.*{found}"):
        ContrastNet(encoder)


BACKWARD = """
import torch
from scripts.networks.encoder import QueryEncoder
for widths in (4, 8, 8, 16), (8, 8, 8, 8):
    encoder = QueryEncoder(2, "basic", (1, 1, 1, 1), widths).to(memory_format=torch.channels_last)
    for _ in range(3):
        sum(each.sum() for each in encoder(torch.randn(104, 2, 48, 48))).backward()
"""


def test_narrow_shortcuts_have_gradients_in_channels_last():
    done = subprocess.run([sys.executable, "-c", BACKWARD], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_decoder_that_does_not_say_what_it_reads_is_taken_to_read_all():
    encoder = QueryEncoder(2, layers=(1, 1, 1, 1), widths=(4, 6, 8, 10))
    assert read_by(torch.nn.Identity(), encoder) == [0, 1, 2, 3]
    assert sorted(read_by(AsppDecoder(2, encoder.channels, 8, skips=[1], skip_width=4), encoder)) == [1, 3]
    assert Refiner(encoder, torch.nn.Identity()).decoder is not None
