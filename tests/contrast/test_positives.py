"""Batches of pretraining: views of each query, their labels, and their mean intensities."""

import pytest
import torch

from scripts.contrast.positives import MEANINGS, PrepareViews, mean_intensity
from scripts.errors import SemclError
from scripts.networks.decoder import AsppDecoder
from scripts.networks.pooling import POOLINGS, Pooling, make_pooling, surroundings
from scripts.queries.views import Views
from tests.queries.test_views import GEOMETRY, INTENSITY, blobs, still

CPU = torch.device("cpu")
BATCH = {  # of three queries, the first of them twice
    "query": torch.tensor([70, 3, 8, 70]),
    "cluster": torch.tensor([4, 5, 6, 4]),
    "object": torch.tensor([3, 3, 4, 3]),
    "phase": torch.tensor([0, 1, 0, 0]),
}


def batch(count: int = 4, dims: int = 2, side: int = 16) -> dict[str, torch.Tensor]:
    image, masks = blobs(count, dims, side)
    return {"image": image, "attention": masks} | {name: labels[:count] for name, labels in BATCH.items()}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_batch_is_ordered_view_by_view(count):
    given = batch(3)
    inputs, labels = PrepareViews(still(16, **GEOMETRY), count=count)(given, CPU)
    assert inputs.shape == (3 * count, 2, 16, 16)
    assert labels.tolist() == [4, 5, 6] * count
    assert set(inputs[:, 1].unique().tolist()) <= {0.0, 1.0}
    views = still(16, **GEOMETRY)
    for view in inputs.split(3):
        moved, shown = views(given["image"], given["attention"])
        assert torch.equal(view, torch.cat([moved, shown], dim=1))


def test_a_batch_may_hold_3d_queries():
    given = batch(2, dims=3)
    inputs, labels = PrepareViews(still(12, **GEOMETRY, **INTENSITY))(given | {"target": given["attention"]}, CPU)
    assert inputs.shape == (4, 2, 12, 12, 12)
    assert labels.tolist() == [4, 5, 4, 5]
    assert not torch.equal(inputs[:2], inputs[2:])


@pytest.mark.parametrize("meaning", MEANINGS)
def test_positives_are_those_of_the_chosen_meaning(meaning):
    _, labels = PrepareViews(still(16), meaning=meaning)(batch(), CPU)
    assert labels.tolist() == BATCH[meaning].tolist() * 2


@pytest.mark.parametrize("meaning", MEANINGS)
def test_the_views_do_not_depend_on_their_meaning(meaning):
    inputs, _ = PrepareViews(still(16, **GEOMETRY, **INTENSITY), meaning=meaning)(batch(), CPU)
    plain, _ = PrepareViews(still(16, **GEOMETRY, **INTENSITY))(batch(), CPU)
    assert torch.equal(inputs, plain)


def test_an_unknown_meaning_is_refused():
    with pytest.raises(
        SemclError, match=r"(?s)meaning has no such value.*meaning organ.*cluster, object, phase, query.*set mean"
    ):
        PrepareViews(Views(16), meaning="organ")


@pytest.mark.parametrize("dims", [2, 3])
def test_intensities_are_mean_intensities_under_the_mask(dims):
    image, mask = blobs(3, dims, 6)
    mask[1] = 0
    image[2, 0, 0] = 1.5  # noise leaves the window
    expected = []
    for one, shown in zip(image, mask, strict=True):
        under = [
            (value + 1) / 2
            for value, there in zip(one.flatten().tolist(), shown.flatten().tolist(), strict=True)
            if there
        ]
        expected.append(min(max(sum(under) / len(under), 0), 1) if under else 0.5)
    assert expected[1] == 0.5
    assert mean_intensity(image, mask).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("value", "expected"), [(-1.0, 0.0), (0.0, 0.5), (1.0, 1.0), (-1.4, 0.0), (1.4, 1.0)])
def test_intensities_lie_between_the_ends_of_the_window(value, expected):
    assert mean_intensity(torch.full((1, 1, 4, 4), value), torch.ones(1, 1, 4, 4)).tolist() == [expected]


@pytest.mark.parametrize("meaning", ["cluster", "query"])
def test_intensities_are_those_of_the_views_the_network_sees(meaning):
    prepare = PrepareViews(still(16, **GEOMETRY, **INTENSITY), count=3, meaning=meaning, intensities=True)
    inputs, (labels, intensities) = prepare(batch(), CPU)
    assert labels.tolist() == BATCH[meaning].tolist() * 3
    assert intensities.shape == (12,)
    assert torch.equal(intensities, mean_intensity(inputs[:, :1], inputs[:, 1:]))
    assert len(set(intensities.tolist())) > 6


def pooling(name: str) -> Pooling:
    """With three points per region, where there are any."""
    return make_pooling(name, lambda: AsppDecoder(2, [4, 4], width=8, skips=[]), points=3)


@pytest.mark.parametrize("dims", [2, 3])
def test_with_regions_every_second_view_hides_its_attention_and_says_where_the_object_is(dims):
    given, side = batch(3, dims), 16
    inputs, labels = PrepareViews(still(side, **GEOMETRY), pooling=pooling("regions"))(given, CPU)
    plain, means = PrepareViews(still(side, **GEOMETRY))(given, CPU)
    assert inputs.shape == (6, 4, *[side] * dims)
    assert torch.equal(inputs[:, :1], plain[:, :1])
    assert torch.equal(inputs[:3, 1:2], plain[:3, 1:])
    assert not inputs[3:, 1].any()
    assert torch.equal(inputs[:, 2:3], plain[:, 1:])
    assert torch.equal(inputs[:, 3:], surroundings(plain[:, 1:]))
    assert labels[:6].tolist() == means.tolist()
    assert set(labels[6:].tolist()).isdisjoint(means.tolist())
    assert [labels[6:].tolist().index(label) for label in labels[6:].tolist()] == [
        means.tolist().index(label) for label in means.tolist()
    ]


def test_with_points_every_view_shows_its_attention():
    regions, of_regions = PrepareViews(still(16, **GEOMETRY), intensities=True, pooling=pooling("regions"))(
        batch(), CPU
    )
    points, of_points = PrepareViews(still(16, **GEOMETRY), intensities=True, pooling=pooling("points"))(batch(), CPU)
    regions[:, 1] = regions[:, 2]
    assert torch.equal(points, regions)
    for points_own, regions_own in zip(of_points, of_regions, strict=True):  # labels, intensities
        assert points_own.view(-1, 3).T.tolist() == [regions_own.tolist()] * 3


@pytest.mark.parametrize("name", POOLINGS)
def test_hidden_attention_is_hidden_only_from_the_encoder(name):
    shown, hidden = (
        PrepareViews(still(16, **GEOMETRY, **INTENSITY), intensities=True, pooling=pooling(name), show_attention=show)(
            batch(), CPU
        )
        for show in (True, False)
    )
    assert shown[0][:, 1].any()
    assert not hidden[0][:, 1].any()
    for channel in {0, 2, 3} & set(range(shown[0].shape[1])):
        assert torch.equal(hidden[0][:, channel], shown[0][:, channel])
    for one, other in zip(hidden[1], shown[1], strict=True):  # labels, and intensities under the same masks
        assert torch.equal(one, other)


def test_intensities_of_regions_are_of_objects_and_then_of_surroundings():
    prepare = PrepareViews(still(16, **GEOMETRY, **INTENSITY), intensities=True, pooling=pooling("regions"))
    inputs, (labels, intensities) = prepare(batch(), CPU)
    assert len(labels) == len(intensities) == 16
    expected = torch.cat([mean_intensity(inputs[:, :1], inputs[:, channel : channel + 1]) for channel in (2, 3)])
    assert torch.equal(intensities, expected)
