"""Post-processing: small components are removed and lost slices restored."""

import numpy as np
import pytest
import torch

from scripts.refine.post_processing import post_process, restore_lost_slices
from tests.cohort.test_components import organs


@pytest.mark.parametrize(("smallest", "left"), [(0.0, 38), (1.0, 29)])
def test_small_components_are_removed(smallest, left):
    objects = torch.from_numpy(organs())
    done = post_process(objects, torch.zeros_like(objects), smallest, keep_slices=True)
    assert done.shape == objects.shape
    assert int((done > 0).sum()) == left


def test_a_slice_without_an_object_keeps_its_coarse_map_and_leaves_others_alone():
    coarse, predicted = torch.zeros(2, 4, 4, 6, dtype=torch.int16)
    coarse[1:3, 1:3, :] = 1
    coarse[0, 0, 2:5] = 2
    predicted[1:3, 1:3, :3] = 1
    predicted[1, 1, 3:] = 3  # another object where object 1 was
    predicted[0, 0, 3] = 2
    done = restore_lost_slices(predicted, coarse)
    expected = predicted.clone()
    for z in (3, 4, 5):
        expected[1:3, 1:3, z][expected[1:3, 1:3, z] == 0] = 1
    expected[0, 0, [2, 4]] = 2
    assert torch.equal(done, expected)
    assert torch.equal(post_process(predicted, coarse, 0, keep_slices=False), predicted)


def test_an_island_of_the_coarse_map_is_not_restored():
    coarse = torch.zeros(8, 8, 12, dtype=torch.int16)
    coarse[2:6, 2:6, :5] = 1
    coarse[1:3, 1:3, 9] = 1  # 4 voxels of 80
    predicted = coarse.clone()
    predicted[..., 4:] = 0
    done = post_process(predicted, coarse, 0, keep_slices=True, islands=0.1)
    assert done[..., 4].any()
    assert not done[..., 9].any()
    assert post_process(predicted, coarse, 0, keep_slices=True, islands=0.05)[..., 9].any()


def test_what_is_restored_is_no_smaller_than_the_smallest_island():
    coarse = torch.zeros(8, 8, 12, dtype=torch.int16)
    coarse[2:6, 2:6, :6] = 1
    coarse[1:5, 1:5, 8:11] = 1
    predicted = coarse.clone()
    predicted[..., [5, 10]] = 0
    done = post_process(predicted, coarse, 1, keep_slices=True)
    expected = coarse.clone()
    expected[..., 8:] = 0
    assert torch.equal(done, expected)  # the slice beside the largest component is restored
    assert torch.equal(post_process(predicted, coarse, 0.1, keep_slices=True), coarse)


def test_it_equals_a_loop_over_objects_and_slices():
    generator = torch.Generator().manual_seed(0)
    coarse, predicted = torch.randint(0, 60, (2, 5, 6, 20), generator=generator, dtype=torch.int16)
    coarse[coarse > 8] = 0
    predicted[predicted > 9] = 0  # with one that the coarse map has nowhere
    expected = predicted.numpy().copy()
    for number in range(1, 9):
        for z in range(20):
            if (coarse[..., z] == number).any() and not (predicted[..., z] == number).any():
                mask = (coarse[..., z] == number).numpy() & (predicted[..., z] == 0).numpy()
                expected[..., z][mask] = number
    done = restore_lost_slices(predicted, coarse)
    assert np.array_equal(done.numpy(), expected)
    assert not np.array_equal(done.numpy(), predicted.numpy())


def test_an_empty_coarse_map_changes_nothing():
    predicted = torch.ones(2, 2, 2, dtype=torch.int16)
    assert torch.equal(restore_lost_slices(predicted, torch.zeros_like(predicted)), predicted)
