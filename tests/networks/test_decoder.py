"""The ASPP decoder."""

import pytest
import torch

from scripts.networks.decoder import AsppDecoder


def features(dims: int, size: int = 32) -> list[torch.Tensor]:
    return [torch.randn(2, width, *[size // 2**level] * dims) for level, width in enumerate((4, 6, 8, 10))]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("skips", [[], [2], [1, 2], [0, 1, 2]])
def test_it_returns_one_logit_of_the_requested_size(dims, skips):
    decoder = AsppDecoder(dims, (4, 6, 8, 10), width=16, dilations=(1, 2, 3), skips=skips, skip_width=4)
    assert decoder(features(dims), [48] * dims).shape == (2, 1, *[48] * dims)


def test_one_logit_per_class_where_several_are_asked_for():
    one = AsppDecoder(2, (4, 6, 8, 10), width=16, skip_width=4)
    several = AsppDecoder(2, (4, 6, 8, 10), width=16, skip_width=4, outputs=5)
    assert several(features(2), [32, 32]).shape == (2, 5, 32, 32)
    own, other = ({name: weight.shape for name, weight in net.state_dict().items()} for net in (one, several))
    assert own.keys() == other.keys()
    assert {name.partition(".")[0] for name in own if own[name] != other[name]} == {"logit"}


def test_without_skips_only_the_last_map_is_used():
    maps = features(2)
    changed = [each + 1 for each in maps[:3]] + maps[3:]
    plain = AsppDecoder(2, (4, 6, 8, 10), width=16, skips=[]).eval()
    sharp = AsppDecoder(2, (4, 6, 8, 10), width=16, skips=[1]).eval()
    assert torch.equal(plain(maps, [32, 32]), plain(changed, [32, 32]))
    assert not torch.equal(sharp(maps, [32, 32]), sharp(changed, [32, 32]))


def test_every_weight_is_used():
    decoder = AsppDecoder(2, (4, 6, 8, 10), width=16, dilations=(1, 2, 3), skips=[0, 1, 2], skip_width=4)
    decoder(features(2), [32, 32]).pow(2).sum().backward()
    assert all(weight.grad is not None for weight in decoder.parameters())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("skips", [[], [0, 1, 2]])
def test_as_torchscript_it_computes_the_same(dims, skips):
    decoder = AsppDecoder(dims, (4, 6, 8, 10), width=16, dilations=(1, 2, 3), skips=skips, skip_width=4).eval()
    maps = features(dims)
    assert torch.equal(torch.jit.script(decoder)(maps, [32] * dims), decoder(maps, [32] * dims))
