"""Queries: their positions, and that their patches cover the object."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from scripts.errors import SemclError
from scripts.queries.grid import QueryGrid, extend_objects, overlap_slices


def grid(dims: int = 2, patch: int = 8) -> QueryGrid:
    return QueryGrid(dims, patch, [1, 1, 0 if dims == 2 else 1], [-160, 240])


def test_in_2d_an_object_has_one_centred_query_per_slice():
    attention = np.zeros((20, 20, 5), np.int16)
    attention[6:10, 8:14, 1:4] = 3
    queries = grid().queries(attention)
    assert queries.tolist() == [[3, 4, 7, z] for z in (1, 2, 3)]


def test_in_3d_an_object_has_one_query():
    attention = np.zeros((20, 20, 20), np.int16)
    attention[6:10, 8:14, 1:4] = 3
    assert grid(3).queries(attention).tolist() == [[3, 4, 7, -2]]


def test_queries_are_sorted_by_object():
    attention = np.random.default_rng(0).integers(0, 5, (20, 20, 3)).astype(np.int16)
    objects = grid().queries(attention)[:, 0]
    assert (np.diff(objects) >= 0).all()


def test_an_empty_attention_map_has_no_queries():
    assert grid().queries(np.zeros((9, 9, 9), np.int16)).shape == (0, 4)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_patches_cover_every_voxel_of_every_object(data):
    dims = data.draw(st.sampled_from([2, 3]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    shape = tuple(data.draw(st.integers(1, 30)) for _ in range(3))
    attention = np.zeros(shape, np.int16)
    for number in (1, 2):
        low = [int(rng.integers(0, size)) for size in shape]
        high = [int(rng.integers(begin, size)) + 1 for begin, size in zip(low, shape, strict=True)]
        attention[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = number
    cutter = grid(dims)
    covered = np.zeros(shape, np.int16)
    for number, *start in cutter.queries(attention).tolist():
        _, where = overlap_slices(start, cutter.box, shape)
        assert (attention[where] == number).any()  # no query is empty
        covered[where] = np.where(attention[where] == number, number, covered[where])
    assert np.array_equal(covered, attention)


@pytest.mark.parametrize("start", [(0, 0, 0), (-3, 5, 2), (16, 17, 9), (-20, 0, 0), (5, 40, 1)])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("margin", [0, 2])
def test_a_patch_is_what_padding_and_slicing_gives(start, dims, margin):
    volume = torch.randn(20, 18, 10, generator=torch.Generator().manual_seed(0))
    cutter, pad = grid(dims), 60
    around = np.pad(volume.numpy(), pad, constant_values=-1)
    grow = (margin, margin, margin if dims == 3 else 0)
    box = [
        slice(begin + pad - more, begin + pad + size + more)
        for begin, size, more in zip(start, cutter.box, grow, strict=True)
    ]
    expected = around[tuple(box)]
    patch = cutter.cut(volume, start, margin, -1)
    assert np.array_equal(patch.numpy(), expected if dims == 3 else expected[..., 0])


def test_spatial_dims_are_two_or_three():
    with pytest.raises(SemclError, match="expected: one of 2, 3"):
        QueryGrid(4, 8, [1, 1, 1], [-160, 240])


def column(*slices: int, depth: int = 10, number: int = 3) -> torch.Tensor:
    """A map with an object on some slices, one voxel further along X on each."""
    objects = torch.zeros(depth + 4, 4, depth, dtype=torch.int16)
    for z in slices:
        objects[z : z + 3, 1:3, z] = number
    return objects


@pytest.mark.parametrize(
    ("slices", "shown", "extend"),
    [
        pytest.param((4, 5), (4, 5), 0, id="not asked for"),
        pytest.param((4, 5), (3, 4, 5, 6), 1, id="one beyond either end"),
        pytest.param((0, 9), (0, 1, 8, 9), 1, id="not out of the volume"),
        pytest.param((2, 6), (0, 1, 2, 3, 4, 5, 6, 7, 8), 2, id="a gap is filled from both sides"),
    ],
)
def test_an_object_is_extended_along_the_body(slices, shown, extend):
    found = torch.from_numpy(extend_objects(column(*slices).numpy(), extend))
    assert torch.nonzero(found.any(0).any(0)).flatten().tolist() == list(shown)
    for z in shown:
        nearest = min(slices, key=lambda other: abs(other - z))
        assert torch.equal(found[:, :, z], column(*slices)[:, :, nearest])


def test_an_extended_object_leaves_others_alone():
    objects = column(4)
    objects[4:6, 1:3, 5] = 1
    found = torch.from_numpy(extend_objects(objects.numpy(), 1))
    assert torch.equal(found[4:6, 1:3, 5], objects[4:6, 1:3, 5])
    assert (found[6, 1:3, 5] == 3).all()
    assert torch.equal(found[:, :, 4], torch.where(objects[:, :, 4] > 0, objects[:, :, 4], found[:, :, 4]))
    assert not extend_objects(np.zeros_like(objects.numpy()), 2).any()


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_extending_in_boxes_equals_a_loop_over_the_whole_volume(slices):
    rng = np.random.default_rng(slices)
    objects = (rng.integers(0, 5, (7, 6, 40)) * (rng.random((7, 6, 40)) < 0.1)).astype(np.int16)
    expected = objects.copy()
    for number in range(1, 5):
        shown = [z for z in range(40) if (objects[:, :, z] == number).any()]
        for z in range(40):
            nearest = min(shown, key=lambda other: abs(other - z))
            if 0 < abs(nearest - z) <= slices:
                expected[:, :, z][(objects[:, :, nearest] == number) & (expected[:, :, z] == 0)] = number
    np.testing.assert_array_equal(extend_objects(objects, slices), expected)
    assert (expected != objects).any()


@pytest.mark.parametrize(("dims", "extends"), [(2, True), (3, False)])
def test_only_2d_attention_is_extended(dims, extends):
    image = MetaTensor(torch.zeros(1, 14, 4, 10), affine=torch.eye(4), meta={})
    cutter = QueryGrid(dims, 8, [0, 0, 0], [-160, 240], extend=1)
    found = cutter.attention(column(4), image)
    assert torch.equal(found, torch.from_numpy(extend_objects(column(4).numpy(), 1))) is extends
    assert torch.equal(found, column(4)) is not extends
    assert cutter.settings()["extend"] == 1  # a store made with another number is another one


@pytest.mark.parametrize("dims", [2, 3])
def test_islands_of_attention_have_no_queries(dims):
    objects = torch.zeros(20, 20, 10, dtype=torch.int16)
    objects[2:8, 2:8, 2:6] = 3  # 144 voxels
    objects[15:17, 15:17, 8] = 3  # 4
    image = MetaTensor(torch.zeros(1, 20, 20, 10), affine=torch.eye(4), meta={})
    kept = QueryGrid(dims, 8, [0, 0, 0], [-160, 240], islands=0.1).attention(objects, image)
    assert torch.equal(kept[:10], objects[:10])
    assert not kept[10:].any()
    assert torch.equal(QueryGrid(dims, 8, [0, 0, 0], [-160, 240], islands=0.01).attention(objects, image), objects)
    assert QueryGrid(dims, 8, [0, 0, 0], [-160, 240], islands=0.1).settings()["islands"] == 0.1
