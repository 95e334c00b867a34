"""Islands go and lost slices stay, at last."""

import numpy as np
import pytest
import torch

from scripts.refine.post_processing import finished, with_lost_slices
from tests.cohort.test_components import organs


@pytest.mark.parametrize(("smallest", "left"), [(0.0, 38), (1.0, 29)])
def test_small_parts_go(smallest, left):
    objects = torch.from_numpy(organs())
    done = finished(objects, torch.zeros_like(objects), smallest, keep_slices=True)
    assert done.shape == objects.shape
    assert int((done > 0).sum()) == left


def test_a_slice_without_an_object_keeps_its_coarse_map_and_leaves_others_alone():
    coarse, drawn = torch.zeros(2, 4, 4, 6, dtype=torch.int16)
    coarse[1:3, 1:3, :] = 1
    coarse[0, 0, 2:5] = 2
    drawn[1:3, 1:3, :3] = 1
    drawn[1, 1, 3:] = 3  # another object where object 1 was
    drawn[0, 0, 3] = 2
    done = with_lost_slices(drawn, coarse)
    expected = drawn.clone()
    for z in (3, 4, 5):
        expected[1:3, 1:3, z][expected[1:3, 1:3, z] == 0] = 1
    expected[0, 0, [2, 4]] = 2
    assert torch.equal(done, expected)
    assert torch.equal(finished(drawn, coarse, 0, keep_slices=False), drawn)


def test_it_is_a_loop_over_objects_and_slices():
    generator = torch.Generator().manual_seed(0)
    coarse, drawn = torch.randint(0, 60, (2, 5, 6, 20), generator=generator, dtype=torch.int16)
    coarse[coarse > 8] = 0
    drawn[drawn > 9] = 0  # with one that the coarse map has nowhere
    expected = drawn.numpy().copy()
    for number in range(1, 9):
        for z in range(20):
            if (coarse[..., z] == number).any() and not (drawn[..., z] == number).any():
                mask = (coarse[..., z] == number).numpy() & (drawn[..., z] == 0).numpy()
                expected[..., z][mask] = number
    done = with_lost_slices(drawn, coarse)
    assert np.array_equal(done.numpy(), expected)
    assert not np.array_equal(done.numpy(), drawn.numpy())


def test_an_empty_coarse_map_changes_nothing():
    drawn = torch.ones(2, 2, 2, dtype=torch.int16)
    assert torch.equal(with_lost_slices(drawn, torch.zeros_like(drawn)), drawn)
