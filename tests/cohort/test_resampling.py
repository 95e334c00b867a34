"""Grids: resampling against scipy and torch, parts of a grid, boxes brought back, and which score wins."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom
from torch.nn import functional

from scripts.cohort.resampling import (
    blank,
    common_part,
    reach,
    resample,
    resample_objects,
    spread,
    strongest,
    working_shape,
)
from tests.memory import added


@pytest.mark.parametrize(
    ("size", "target", "shape"),
    [
        ((2.0, 2.0, 5.0), (2.5, 2.5, 0), (80, 64, 30)),
        ((2.0, 2.0, 5.0), (0, 0, 0), (100, 80, 30)),
        ((2.0, 2.0, 5.0), (1.0, 4.0, 2.5), (200, 40, 60)),
        ((2.0, 2.0, 5.0), (1e9, 1e9, 1e9), (1, 1, 1)),
    ],
)
def test_the_working_grid_covers_the_same_field(size, target, shape):
    assert working_shape((100, 80, 30), size, target) == shape


SHAPES = [(6, 8, 4), (3, 4, 2), (5, 3, 7), (12, 2, 4), (9, 9, 9), (1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_volume_stays_constant(shape):
    resized = resample(torch.full((2, 6, 8, 4), 3.5), shape)
    assert resized.shape == (2, *shape)
    np.testing.assert_allclose(resized.numpy(), 3.5, rtol=1e-6)


def test_the_same_shape_changes_nothing():
    volume = torch.rand(2, 6, 8, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resample(volume, (6, 8, 4)), volume)


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 4, 1), (1, 1, 4), (6, 8, 4)])
def test_shrinking_by_whole_factors_averages_blocks(factors):
    volume = np.random.default_rng(0).normal(size=(2, 6, 8, 4)).astype(np.float32)
    small = resample(
        torch.from_numpy(volume), [size // factor for size, factor in zip((6, 8, 4), factors, strict=True)]
    )
    a, b, c = factors
    blocks = volume.reshape(2, 6 // a, a, 8 // b, b, 4 // c, c)
    np.testing.assert_allclose(small.numpy(), blocks.mean((2, 4, 6)), atol=1e-6)
    np.testing.assert_allclose(small.mean().numpy(), volume.mean(), atol=1e-6)


@pytest.mark.parametrize("shape", [(12, 16, 8), (9, 8, 10), (7, 11, 4)])
def test_growing_is_linear_between_voxel_centres(shape):
    volume = np.random.default_rng(0).normal(size=(1, 6, 8, 4)).astype(np.float32)
    factors = [new / old for new, old in zip(shape, (6, 8, 4), strict=True)]
    oracle = zoom(volume[0], factors, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(resample(torch.from_numpy(volume), shape)[0].numpy(), oracle, atol=1e-5)


def test_axes_may_shrink_and_grow_together():
    volume = np.random.default_rng(0).normal(size=(1, 6, 8, 4)).astype(np.float32)
    oracle = zoom(volume[0].reshape(3, 2, 8, 4).mean(1), (1, 1, 2), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(resample(torch.from_numpy(volume), (3, 8, 8))[0].numpy(), oracle, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int64])
def test_objects_are_resampled_by_nearest_neighbour(shape, kind):
    objects = torch.from_numpy(np.random.default_rng(0).choice([0, 1, 2, 13], size=(6, 8, 4))).to(kind)
    resized = resample_objects(objects, shape)
    assert resized.dtype == kind
    nearest = [
        [int((at + 0.5) * old / new) for at in range(new)] for old, new in zip(objects.shape, shape, strict=True)
    ]
    np.testing.assert_array_equal(resized.numpy(), objects.numpy()[np.ix_(*nearest)])


def averaged(values, new):
    """The mean of a piecewise constant function (..., old) over ``new`` equal parts of its axis, by its integral."""
    old = values.shape[-1]
    integral = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, -1)], -1)
    ends = np.linspace(0, old, new + 1)
    at_ends = np.apply_along_axis(lambda line: np.interp(ends, np.arange(old + 1), line), -1, integral)
    return np.diff(at_ends, axis=-1) * new / old


def averaged_and_interpolated(volume, shape):
    """Averaged along axes that shrink, then linear along those that grow, as torch interpolates."""
    small = volume.double().numpy()
    for axis, new in enumerate(shape, start=1):
        if new < small.shape[axis]:
            small = np.moveaxis(averaged(np.moveaxis(small, axis, -1), new), -1, axis)
    return functional.interpolate(torch.from_numpy(small)[None].float(), size=shape, mode="trilinear")[0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_grid_and_any_part_of_it_are_means_and_linear_between_voxels(data):
    old, new = (tuple(data.draw(st.integers(1, 13)) for _ in range(3)) for _ in range(2))
    box = []
    for size in new:
        first = data.draw(st.integers(0, size))
        box.append(slice(first, data.draw(st.integers(first, size))))
    volume = torch.randn(2, *old, generator=torch.Generator().manual_seed(0))
    expected = averaged_and_interpolated(volume, new)
    torch.testing.assert_close(resample(volume, new), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(resample(volume, new, box), expected[(slice(None), *box)], atol=1e-5, rtol=1e-5)
    doubled = resample(volume, new, box, lambda part: part.square())
    torch.testing.assert_close(
        doubled, averaged_and_interpolated(volume.square(), new)[(slice(None), *box)], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(("old", "new"), [(120, 100), (101, 100), (512, 160), (77, 64)])
def test_edges_stay_where_they_are_when_an_axis_shrinks(old, new):
    for edge in np.linspace(0.2, 0.8, 7):
        line = (torch.arange(old) + 0.5 < edge * old).float()
        there = resample(line.view(1, old, 1, 1), (new, 1, 1)).sum() / new  # the share before the edge
        assert abs(float(there) - float(line.sum()) / old) < 1e-6


def test_a_part_of_the_grid_reads_only_the_voxels_it_needs():
    seen = []

    def note(part):
        seen.append(tuple(part.shape))
        return part

    resample(torch.zeros(1, 100, 100, 10), (50, 50, 10), [slice(10, 20), slice(0, 5), slice(3, 4)], note)
    assert seen == [(1, 20, 10, 1)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_box_of_a_grid_comes_back_as_the_whole_grid_would(data):
    grid, full = (tuple(data.draw(st.integers(1, 13)) for _ in range(3)) for _ in range(2))
    start = [data.draw(st.integers(0, size - 1)) for size in grid]
    stop = [data.draw(st.integers(first + 1, size)) for first, size in zip(start, grid, strict=True)]
    inside = tuple(slice(*ends) for ends in zip(start, stop, strict=True))
    whole = torch.zeros(grid)
    whole[inside] = torch.rand(whole[inside].shape, generator=torch.Generator().manual_seed(0)) + 0.1
    expected = averaged_and_interpolated(whole[None], full)[0]
    box, scores = spread(whole[inside], start, grid, full)
    assert box == reach(start, stop, grid, full)
    torch.testing.assert_close(scores, expected[box], atol=1e-6, rtol=1e-5)
    rows = slice(data.draw(st.integers(0, full[0] - 1)), full[0])
    (part, *others), some = spread(whole[inside], start, grid, full, rows)
    assert (part, *others) == (common_part(box[0], rows), *box[1:])
    torch.testing.assert_close(some, scores[part.start - box[0].start :] if part.start < part.stop else scores[:0])
    expected[box] = 0
    assert expected.abs().max() < 1e-6  # torch weighs a voxel at a new one's very centre by rounding


def winner_of(scores, floor):
    """Object numbers where scores are above a floor."""
    winner = torch.zeros_like(floor, dtype=torch.int16)
    strongest(scores, floor, winner)
    return winner


def everywhere(scores):
    """Scores over the whole volume."""
    return ((number, (slice(None),) * 3, score) for number, score in scores)


def test_a_score_counts_only_in_its_box():
    box = (slice(1, 2), slice(0, 1), slice(0, 1))
    winner = winner_of([(4, box, torch.ones(1, 1, 1))], torch.zeros(3, 1, 1))
    assert winner.flatten().tolist() == [0, 4, 0]


@pytest.mark.parametrize("count", [1, 3, 13])
def test_the_strongest_score_wins_as_with_argmax(count):
    scores = torch.from_numpy(np.random.default_rng(0).integers(0, 6, size=(count + 1, 5, 6, 7)).astype(np.float32))
    winner = winner_of(everywhere(enumerate(scores[1:], start=1)), scores[0].clone())
    np.testing.assert_array_equal(winner.numpy(), np.argmax(scores.numpy(), 0))


def test_organs_may_be_left_out_and_keep_their_numbers():
    scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]]).reshape(2, 2, 1, 1)
    winner = winner_of(everywhere(zip((3, 7), scores, strict=True)), torch.zeros(2, 1, 1))
    assert winner.flatten().tolist() == [3, 7]


def test_background_wins_where_no_score_is_above_the_floor():
    scores = torch.tensor([[0.2, 0.5, 0.9], [0.3, 0.5, 0.8]]).reshape(2, 3, 1, 1)
    winner = winner_of(everywhere(enumerate(scores, start=1)), torch.full((3, 1, 1), 0.5))
    assert winner.flatten().tolist() == [0, 0, 1]


def test_scores_take_the_memory_of_their_boxes():
    shape, box = (256, 256, 192), (slice(100, 120), slice(None), slice(None))
    scores = torch.ones(20, 256, 192)

    def run() -> None:
        floor, winner = (blank(shape, kind, scores.device) for kind in (torch.float32, torch.int16))
        strongest([(4, box, scores)], floor, winner)
        assert winner[110, 5, 5] == 4

    assert added(run) < 256 * 256 * 192  # of 6 bytes a voxel


def test_a_changed_volume_is_resampled_in_one_piece_of_memory():
    image = torch.zeros(1, 512, 256, 128)
    change = torch.Tensor.abs
    resample(image[:, :16], (8, 64, 128), change=change)
    taken = added(lambda: resample(image, (256, 64, 128), change=change))
    assert taken < 1.9 * 512 * 64 * 128 * 4  # the pieces and the whole of them were twice that
