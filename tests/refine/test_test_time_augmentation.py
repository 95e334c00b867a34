"""Test-time augmentation: views are inverted, and left stays left."""

import pytest
import torch

from scripts.errors import SemclError
from scripts.refine.test_time_augmentation import AugmentedInference


def blob(dims: int) -> torch.Tensor:
    """A query whose image is smooth and whose mask is a box, off the centre."""
    axes = torch.meshgrid(*[torch.arange(32.0)] * dims, indexing="ij")
    distance = sum((axis - centre) ** 2 for axis, centre in zip(axes, (12, 18, 16)[:dims], strict=True))
    image = 2 * torch.exp(-distance / 60) - 1
    return torch.stack([image, (distance < 50).float()])[None]


def segment_image(queries: torch.Tensor) -> torch.Tensor:
    return queries[:, :1] * 5


def segment_mask(queries: torch.Tensor) -> torch.Tensor:
    return queries[:, 1:] * 8 - 4


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("count", "flips"), [(1, ()), (3, ()), (5, ()), (6, (0,)), (10, (0,))])
@pytest.mark.parametrize("network", [segment_image, segment_mask], ids=["image", "mask"])
def test_an_equivariant_network_gives_nearly_the_same_logits(dims, count, flips, network):
    queries = blob(dims)
    plain, averaged = network(queries), AugmentedInference(count, flips)(network)(queries)
    assert averaged.shape == plain.shape
    inside = (slice(None), slice(None), *[slice(6, 26)] * dims)
    assert ((plain > 0) != (averaged > 0))[inside].float().mean() < 0.02
    if network is segment_image:
        assert (plain - averaged)[inside].abs().max() < 0.35


def test_one_view_is_the_network_itself():
    assert AugmentedInference(1)(segment_mask) is segment_mask


def test_only_the_first_view_counts_where_no_other_reaches():
    queries = torch.ones(1, 2, 16, 16)
    assert torch.isfinite(AugmentedInference(5)(segment_image)(queries)).all()


@pytest.mark.parametrize(("flips", "mirrored"), [((), False), ((0,), True)])
def test_a_mirrored_view_is_seen_only_where_it_may_be(flips, mirrored):
    seen = []

    def note(queries):
        seen.append(queries[0, 1].clone())
        return queries[:, 1:]

    AugmentedInference(5 + 5 * mirrored, flips)(note)(blob(2))
    plain = seen[0]
    same = [bool(torch.allclose(view, plain.flip(0))) for view in seen]
    assert any(same) == mirrored


def test_the_number_of_calls_is_the_number_of_views():
    calls = []
    AugmentedInference(4)(lambda queries: calls.append(1) or queries[:, 1:])(blob(2))
    assert len(calls) == 4


@pytest.mark.parametrize(("count", "flips"), [(0, ()), (6, ()), (11, (0,))])
def test_more_views_than_there_are_are_refused(count, flips):
    with pytest.raises(SemclError, match="set test_views"):
        AugmentedInference(count, flips)
