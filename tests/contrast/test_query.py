"""Queries: which there are, and that their patches cover the object."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.contrast.query import QueryGrid, overlap
from scripts.errors import SemclError


def grid(dims: int = 2, patch: int = 8) -> QueryGrid:
    return QueryGrid(dims, patch, [1, 1, 0 if dims == 2 else 1], [-160, 240])


def test_in_2d_an_object_is_looked_at_once_a_slice_centred():
    attention = np.zeros((20, 20, 5), np.int16)
    attention[6:10, 8:14, 1:4] = 3
    queries = grid().queries(attention)
    assert queries.tolist() == [[3, 4, 7, z] for z in (1, 2, 3)]


def test_in_3d_an_object_is_looked_at_once():
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
        _, where = overlap(start, cutter.box, shape)
        assert (attention[where] == number).any()  # no query looks at nothing
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
    with pytest.raises(SemclError, match="expected: 2 or 3"):
        QueryGrid(4, 8, [1, 1, 1], [-160, 240])
