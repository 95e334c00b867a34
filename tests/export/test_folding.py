"""Pretrained encoders as parts of ordinary networks."""

import pytest
import torch

from scripts.export.folding import difference, fold, part_of
from scripts.networks.encoder import QueryEncoder
from tests.networks.test_monai_encoders import ENCODERS


def encoders(dims=2):
    made = {name: kind(dims, 2, **numbers) for name, (kind, _, numbers) in ENCODERS.items()}
    return made | {"resnet": QueryEncoder(dims, "basic", (1, 1, 1, 1), (4, 4, 8, 8))}


def changed(encoder):
    """The encoder with weights and statistics that differ from those of a new one."""
    with torch.no_grad():
        for value in [*encoder.parameters(), *encoder.buffers()]:
            if value.is_floating_point():
                value.add_(torch.rand_like(value) * 0.1)
    return encoder.eval()


@pytest.mark.parametrize("name", [*ENCODERS, "resnet"])
def test_an_unchanged_network_takes_the_weights_strictly_and_gives_the_same_features(name):
    torch.manual_seed(0)
    encoder = changed(encoders()[name])
    folded = fold(encoder, 1, 4, 0.0)
    network = encoder.whole(1, 4)
    missing, unexpected = network.load_state_dict(folded.part, strict=False)
    assert not unexpected
    inside = type(encoder)(2, **(ENCODERS[name][2] if name in ENCODERS else
                                 {"layers": (1, 1, 1, 1), "widths": (4, 4, 8, 8)}), in_channels=1)  # fmt: skip
    inside.take(network)
    assert not set(missing) & set(part_of(network, inside))  # all of the encoder's, under all its names
    if name == "resnet":
        network = encoder.whole(1)
        network.load_state_dict(folded.part, strict=True)
    image = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        theirs, ours = inside.eval()(image), encoder(torch.cat([image, torch.zeros_like(image)], 1))
    assert difference(ours, theirs) < 1e-5


def test_the_channel_can_be_kept():
    encoder = changed(encoders()["segresnet"])
    folded = fold(encoder, 1, 4, None)
    inputs = torch.randn(2, 2, 32, 32)
    with torch.no_grad():
        assert difference(encoder(inputs), folded.encoder.eval()(inputs)) == 0


def test_a_bias_takes_up_a_constant_mask_but_for_the_border():
    encoder = changed(encoders()["unet"])
    folded = fold(encoder, 1, 4, 1.0)
    assert folded.lost == []
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        ours = encoder.model[0].conv(torch.cat([image, torch.ones_like(image)], 1))
        theirs = folded.network.model[0].conv(image)
    assert torch.allclose(ours[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-5)
    assert not torch.allclose(ours, theirs, atol=1e-3)


def test_layers_without_a_bias_are_named():
    assert fold(encoders()["segresnet"], 1, 4, 1.0).lost == ["convInit.conv.weight"]
