"""One object put together from its patches, and where it asks for more of them."""

import pytest
import torch

from scripts.refine.stitching import Drawn

SHAPE = (40, 40, 5)


def drawn(patches, box=(8, 8, 1), grow=1):
    """An object of these patches: first voxel -> probability of all its voxels."""
    made = Drawn(1, box, SHAPE, grow)
    made.waiting = len(patches)
    for start, value in patches.items():
        made.add(start, torch.full(box, value).squeeze())
    return made


def test_a_single_patch_is_itself():
    start, probability = drawn({(3, 4, 2): 0.7}).together()
    assert start == [3, 4, 2]
    torch.testing.assert_close(probability, torch.full((8, 8, 1), 0.7))


def test_what_lies_outside_of_the_volume_is_cut_off():
    start, probability = drawn({(-2, 36, 4): 0.7}).together()
    assert start == [0, 36, 4]
    assert probability.shape == (6, 4, 1)


def test_overlapping_patches_are_averaged_by_distance_from_their_centres():
    _, probability = drawn({(0, 0, 0): 0.0, (4, 0, 0): 1.0}).together()
    line = probability[:, 4, 0]
    assert line[:4].tolist() == [0, 0, 0, 0]
    assert line[8:].tolist() == pytest.approx([1, 1, 1, 1])
    assert (line[4:8].diff() > 0).all()
    assert line[5] + line[6] == pytest.approx(1)


def test_between_patches_that_do_not_meet_there_is_nothing():
    _, probability = drawn({(0, 0, 0): 1.0, (20, 0, 0): 1.0}).together()
    assert probability[8:20].abs().max() == 0


EVERYWHERE = torch.ones(SHAPE, dtype=torch.int16)


def test_an_object_at_all_borders_asks_on_all_sides():
    more = drawn({(16, 16, 2): 0.9}).beyond(EVERYWHERE, 0.5)
    assert sorted(more) == [(12, 16, 2), (16, 12, 2), (16, 20, 2), (20, 16, 2)]


def test_an_object_that_ends_inside_asks_for_nothing():
    assert drawn({(16, 16, 2): 0.4}).beyond(EVERYWHERE, 0.5) == []


def test_at_the_volumes_end_it_asks_for_nothing():
    assert sorted(drawn({(0, 32, 2): 0.9}).beyond(EVERYWHERE, 0.5)) == [(0, 28, 2), (4, 32, 2)]


def test_where_another_patch_goes_on_it_asks_for_nothing():
    more = drawn({(16, 16, 2): 0.9, (22, 16, 2): 0.9}).beyond(EVERYWHERE, 0.5)
    assert sorted(more) == [(12, 16, 2), (16, 12, 2), (16, 20, 2), (22, 12, 2), (22, 20, 2), (26, 16, 2)]


def test_a_patch_of_another_slice_does_not_go_on():
    more = drawn({(16, 16, 2): 0.9, (22, 16, 3): 0.0}).beyond(EVERYWHERE, 0.5)
    assert (20, 16, 2) in more


def test_where_the_attention_shows_nothing_it_does_not_ask():
    objects = torch.zeros(SHAPE, dtype=torch.int16)
    objects[16:24, 20:26, 2] = 1
    assert drawn({(16, 16, 2): 0.9}).beyond(objects, 0.5) == [(12, 16, 2), (20, 16, 2), (16, 20, 2)]


def test_it_asks_as_often_as_it_may_and_then_of_the_new_patches_alone():
    made = drawn({(16, 16, 2): 0.9}, grow=2)
    first = made.beyond(EVERYWHERE, 0.5)
    assert made.waiting == len(first) == 4
    for start in first:
        made.add(start, torch.full((8, 8), 0.9 if start == (20, 16, 2) else 0.0))
    assert (24, 16, 2) in made.beyond(EVERYWHERE, 0.5)
    assert made.beyond(EVERYWHERE, 0.5) == []


def test_in_3d_it_asks_along_all_axes():
    more = drawn({(16, 16, -2): 0.9}, box=(8, 8, 8)).beyond(EVERYWHERE, 0.5)
    assert sorted(more) == [(12, 16, -2), (16, 12, -2), (16, 20, -2), (20, 16, -2)]
