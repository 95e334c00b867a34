"""Pooling of feature maps over the patch, over regions, or at points."""

import pytest
import torch

from scripts.errors import SemclError
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.decoder import AsppDecoder
from scripts.networks.encoder import QueryEncoder
from scripts.networks.pooling import PatchPooling, RegionPooling, at_points, make_pooling, masked_mean, surroundings


@pytest.mark.parametrize("dims", [2, 3])
def test_over_the_patch_only_the_mean_of_the_last_map_counts(dims):
    first, last, mask = torch.randn(2, 3, *[8] * dims), torch.randn(2, 6, *[4] * dims), torch.rand(2, 1, *[8] * dims)
    shuffled = last.flatten(2)[:, :, torch.randperm(4**dims)].view_as(last)
    pooled = PatchPooling().describe([first, last], mask)
    torch.testing.assert_close(pooled, last.flatten(2).mean(2))
    torch.testing.assert_close(pooled, PatchPooling()([-first, shuffled], []))


@pytest.mark.parametrize("dims", [2, 3])
def test_over_a_region_a_cell_is_weighted_by_its_share_in_the_mask(dims):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, *[4] * dims, generator=generator)
    mask = (torch.rand(3, 1, *[8] * dims, generator=generator) > 0.7).float()
    expected = torch.zeros(3, 5)
    for query in range(3):
        total = 0.0
        for place in torch.cartesian_prod(*[torch.arange(4)] * dims).tolist():
            cell = tuple(slice(2 * at, 2 * at + 2) for at in place)
            cover = float(mask[(query, 0, *cell)].mean())
            expected[query] += cover * features[(query, slice(None), *place)]
            total += cover
        expected[query] /= total
    torch.testing.assert_close(masked_mean(features, mask), expected, atol=1e-5, rtol=1e-5)


def test_all_maps_are_taken_one_after_the_other():
    maps = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    mask = (torch.rand(2, 1, 8, 8) > 0.5).float()
    expected = torch.cat([masked_mean(level, mask) for level in maps], 1)
    assert torch.equal(RegionPooling().describe(maps, mask), expected)
    other = 1 - mask
    both = torch.cat([expected, torch.cat([masked_mean(level, other) for level in maps], 1)])
    torch.testing.assert_close(RegionPooling()(maps, [mask, other]), both)
    assert RegionPooling().width([3, 5]) == 8


def test_means_of_large_maps_stay_finite_with_float16_features():
    features, mask = torch.full((1, 2, 128, 128), 8.0, dtype=torch.float16), torch.ones(1, 1, 128, 128)
    with torch.autocast("cpu", torch.float16):
        pooled = masked_mean(features, mask)
    torch.testing.assert_close(pooled, torch.full((1, 2), 8.0))


def test_an_empty_mask_does_not_divide_by_zero():
    features = torch.randn(2, 3, 4, 4, requires_grad=True)
    pooled = masked_mean(features, torch.zeros(2, 1, 8, 8))
    torch.testing.assert_close(pooled, features.flatten(2).mean(2))
    pooled.sum().backward()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_surroundings_are_near_the_mask_and_not_in_it(dims):
    mask = torch.zeros(1, 1, *[16] * dims)
    mask[(0, 0, *[slice(6, 9)] * dims)] = 1
    expected = torch.zeros_like(mask)
    expected[(0, 0, *[slice(4, 11)] * dims)] = 1  # an eighth of 16 further
    assert torch.equal(surroundings(mask), expected - mask)
    assert not surroundings(torch.zeros_like(mask)).any()


def small(pooling: str, points: int = 5) -> ContrastNet:
    encoder = QueryEncoder(2, "basic", (1, 1, 1, 1), (4, 4, 8, 8))
    decoder = AsppDecoder(2, encoder.channels, width=8, skips=(1,), skip_width=4)
    return ContrastNet(encoder, 16, make_pooling(pooling, lambda: decoder, points)).eval()


def test_regions_give_an_embedding_of_the_object_and_one_of_its_surroundings():
    network, inputs = small("regions"), torch.rand(3, 4, 16, 16)
    found = network(inputs)
    assert found.shape == (6, 16)
    swapped = network(inputs[:, [0, 1, 3, 2]])
    torch.testing.assert_close(found, swapped.roll(3, 0))
    assert not torch.allclose(found[:3], found[3:])
    hidden = network(torch.cat([inputs[:, :1], 0 * inputs[:, 1:2], inputs[:, 2:]], 1))
    assert not torch.allclose(found, hidden)  # the encoder sees the second channel


def test_every_map_the_decoder_reads_is_pretrained():
    network = small("regions")
    network(torch.rand(3, 4, 16, 16)).square()[:, 0].sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.encoder.body.conv1.parameters())
    deep = small("regions")
    with torch.no_grad():
        for weight in deep.encoder.body.layer2.parameters():  # nothing comes through to the later maps
            weight.zero_()
    deep(torch.rand(3, 4, 16, 16)).square()[:, 0].sum().backward()
    assert deep.encoder.body.layer1[0].conv1.weight.grad.any()


def test_an_unknown_pooling_is_refused():
    with pytest.raises(SemclError, match=r"(?s)pooling has no such value.*patch, regions, points.*set pooling"):
        make_pooling("mask")
    with pytest.raises(SemclError, match="did you mean regions"):
        make_pooling("region")


# points


@pytest.mark.parametrize("dims", [2, 3])
def test_points_are_voxels_of_the_mask_and_have_the_map_s_values_there(dims):
    torch.manual_seed(0)
    places = torch.stack(torch.meshgrid(*[torch.arange(8.0)] * dims, indexing="ij"))  # each voxel's own indices
    mask = (torch.rand(4, 1, *[8] * dims) > 0.8).float()
    found = at_points(places.expand(4, *places.shape), mask, 50)
    assert found.shape == (4, 50, dims)
    rounded = found.round()
    torch.testing.assert_close(found, rounded, atol=1e-4, rtol=0)
    for query, where in enumerate(rounded.long()):
        assert mask[(query, 0, *where.unbind(1))].all()
        assert len(where.unique(dim=0)) > 5


def test_points_of_a_coarser_map_are_interpolated():
    rising = torch.arange(4.0).expand(1, 1, 4, 4)  # along the last axis
    mask = torch.zeros(1, 1, 8, 8)
    mask[0, 0, 2, 3] = 1  # its centre is at 3.5 of 8, between the map's second and third voxel
    torch.testing.assert_close(at_points(rising, mask, 3), torch.full((1, 3, 1), 1.25))


def test_every_voxel_of_a_mask_is_equally_likely_and_any_of_an_empty_one():
    torch.manual_seed(0)
    places = torch.arange(16.0).view(1, 1, 4, 4)
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 1:3, 1:3] = 1
    times = torch.bincount(at_points(places, mask, 4000).round().long().flatten(), minlength=16)
    assert (times > 0).sum() == 4
    assert (times[times > 0] - 1000).abs().max() < 140  # 5 standard deviations
    assert len(at_points(places, 0 * mask, 4000).round().unique()) == 16


def test_points_give_embeddings_of_what_the_decoder_makes_there():
    network, inputs = small("points"), torch.rand(3, 4, 16, 16)
    found = network(inputs)
    assert found.shape == (30, 16)
    inputs[:, 2:] = 0
    inputs[:, 2, 4, 7] = inputs[:, 3, 4, 8] = 1
    decoded = network.pooling.decoder.decode(network.encoder(inputs[:, :2]))
    both = torch.cat([at_points(decoded, inputs[:, number : number + 1], 5) for number in (2, 3)])
    torch.testing.assert_close(network(inputs), network.head(both.flatten(0, 1)))
    assert len(network(inputs).unique(dim=0)) == 6


def test_points_pretrain_the_decoder_all_but_its_logit():
    network = small("points")
    network(torch.rand(3, 4, 16, 16))[:, 0].square().sum().backward()
    without = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert without == {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert without == {"pooling.decoder.logit.conv.weight", "pooling.decoder.logit.conv.bias"}


def test_points_need_a_decoder_and_at_least_one():
    with pytest.raises(SemclError, match=r"(?s)points need a decoder.*set another pooling"):
        make_pooling("points")
    with pytest.raises(SemclError, match=r"(?s)there are no points.*points 0.*set points"):
        small("points", points=0)


def test_the_decoder_is_no_part_of_other_poolings():
    assert small("regions").pooling.decoder is None
    assert not any("decoder" in name for name in small("patch").state_dict())
