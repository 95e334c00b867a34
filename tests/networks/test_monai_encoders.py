"""Encoders of MONAI's networks: their contract, and that they compute what the whole networks do."""

import pytest
import torch
import yaml
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FlexibleUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.segresnet_ds import SegResNetDS
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet

from scripts.errors import SemclError
from scripts.networks.decoder import AsppDecoder
from scripts.networks.encoder import check_encoder
from scripts.networks.monai_encoders import (
    DynUNetEncoder,
    FlexibleUNetEncoder,
    SegResNetDSEncoder,
    SegResNetEncoder,
    SwinUNETREncoder,
)
from scripts.networks.unet_encoder import UNetEncoder
from scripts.refine.refiner import Refiner
from tests.stages import ROOT

ENCODERS = {
    "segresnet": (SegResNetEncoder, SegResNet, {"init_filters": 8, "blocks_down": [1, 1, 1]}),
    "segresnetds": (SegResNetDSEncoder, SegResNetDS, {"init_filters": 4, "blocks_down": [1, 1, 1]}),
    "dynunet": (
        DynUNetEncoder,
        DynUNet,
        {"filters": [4, 6, 8], "kernel_size": [3, 3, 3], "strides": [1, 2, 2]},
    ),
    "swinunetr": (SwinUNETREncoder, SwinUNETR, {"feature_size": 12, "depths": [1, 1, 1, 1]}),
    "flexibleunet": (FlexibleUNetEncoder, FlexibleUNet, {"backbone": "resnet10"}),
    "unet": (UNetEncoder, UNet, {"channels": [4, 6, 8, 8], "strides": [2, 2, 2]}),
}


def small(name, dims=2, channels=2):
    kind, _, numbers = ENCODERS[name]
    return kind(dims, channels, **numbers)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_keeps_its_contract(name, dims):
    encoder = small(name, dims)
    check_encoder(encoder)
    maps = encoder.eval()(torch.zeros(1, 2, 64, *[32] * (dims - 1)))
    assert [(one.shape[1], 64 // one.shape[2]) for one in maps] == list(
        zip(encoder.channels, encoder.strides, strict=True)
    )


def seen_by_the_decoder(network, inputs):
    """The feature maps that a whole network's own modules give, by hooks on them."""
    found = []
    kinds = {
        SegResNet: lambda: list(network.down_layers),
        SegResNetDS: lambda: [level["blocks"] for level in network.encoder.layers],
        DynUNet: lambda: [network.input_block, *network.downsamples, network.bottleneck],
        SwinUNETR: lambda: [network.encoder1, network.encoder2, network.encoder3, network.encoder4, network.encoder10],
        FlexibleUNet: lambda: [network.encoder],
        UNet: lambda: [network.model[0], network.model[1].submodule[0]],
    }
    for module in kinds[type(network)]():
        module.register_forward_hook(lambda module, given, made: found.extend(made if type(made) is list else [made]))
    with torch.no_grad():
        network(inputs)
    return found


@pytest.mark.parametrize("name", ENCODERS)
def test_it_computes_what_the_whole_network_does(name):
    torch.manual_seed(0)
    encoder = small(name, channels=1).eval()
    network = encoder.whole(1, 3).eval()
    assert type(network) is ENCODERS[name][1]
    encoder.take(network)
    inputs = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        maps = encoder(inputs)
    seen = seen_by_the_decoder(network, inputs)
    assert len(seen) >= 2
    for one in seen:
        assert any(one.shape == other.shape and torch.allclose(one, other, atol=1e-5) for other in maps)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name not in ("swinunetr", "flexibleunet")])
def test_it_can_be_exported_as_torchscript(name):
    encoder = small(name).eval()
    torch.jit.script(encoder)


def test_the_overlays_make_these_encoders():
    for name, (kind, *_) in ENCODERS.items():
        overlay = yaml.safe_load((ROOT / "bundle" / "configs" / "encoders" / f"{name}.yaml").read_text())
        for key in ("encoder", "slice_encoder"):
            assert overlay[key]["_target_"] == f"scripts.components.{kind.__name__}"
            numbers = {
                key: value for key, value in overlay[key].items() if not str(value).startswith(("@", "$", "scr"))
            }
            made = kind(2, 2, **numbers)
        AsppDecoder(2, made.channels, 16, skips=overlay.get("skips", [0, 1, 2]), skip_width=4)


def test_wrong_numbers_are_named():
    with pytest.raises(SemclError, match=r"(?s)SwinUNETREncoder cannot be made.*divisible by 12"):
        SwinUNETREncoder(2, 2, feature_size=10)
    with pytest.raises(SemclError, match=r"(?s)SegResNetEncoder cannot be made.*init_filter"):
        SegResNetEncoder(2, 2, init_filter=8)
    with pytest.raises(SemclError, match="did you mean resnet18"):
        FlexibleUNetEncoder(2, 2, backbone="resnet81")


def test_skips_beyond_the_encoder_are_refused():
    with pytest.raises(SemclError, match=r"(?s)skips \[0, 3\], an encoder with 4 maps.*from 0 to 2"):
        AsppDecoder(2, [4, 4, 8, 8], 16, skips=[0, 3])


def test_a_refiner_trains_what_its_skips_read():
    encoder = small("swinunetr")
    refiner = Refiner(encoder, AsppDecoder(2, encoder.channels, 8, skips=[0, 2], skip_width=4))
    frozen = {key.split(".")[0] for key, value in encoder.named_parameters() if not value.requires_grad}
    assert frozen == {"encoder2", "encoder4"}
    assert refiner.decoder.logit.conv.weight.requires_grad


@pytest.mark.parametrize("dims", [2, 3])
def test_dropout_of_segresnet_is_applied_in_training_alone(dims):
    torch.manual_seed(0)
    plain = SegResNetEncoder(dims, blocks_down=[1, 1])
    dropping = SegResNetEncoder(dims, blocks_down=[1, 1], dropout_prob=0.5)
    dropping.load_state_dict(plain.state_dict())
    inputs = torch.randn(2, 2, *[16] * dims)
    with torch.no_grad():
        assert torch.equal(dropping.eval()(inputs)[-1], plain.eval()(inputs)[-1])
        first, second = (dropping.train()(inputs)[-1] for _ in range(2))
    assert not torch.equal(first, second)
    with torch.no_grad():
        assert torch.equal(plain.train()(inputs)[-1], plain(inputs)[-1])
