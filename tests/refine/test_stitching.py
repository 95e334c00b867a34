"""One object stitched from its patches, and the patches it requests."""

import numpy as np
import pytest
import torch

from scripts.refine import stitching
from scripts.refine.stitching import StitchedObject, touched_borders

SHAPE = (40, 40, 5)


def stitched(patches, box=(8, 8, 1), grow=1):
    """An object of these patches: first voxel -> score of all its voxels."""
    made = StitchedObject(1, box, SHAPE, grow)
    made.pending = len(patches)
    for start, value in patches.items():
        made.add(start, torch.full(box, value).squeeze())
    return made


def requested(made, objects):
    """First voxels of the patches that an object requests."""
    (touched,) = touched_borders([made], 0.5)
    return made.request_more(objects, touched)


def test_a_single_patch_is_unchanged():
    start, score = stitched({(3, 4, 2): 0.7}).stitch()
    assert start == [3, 4, 2]
    torch.testing.assert_close(score, torch.full((8, 8, 1), 0.7))


def test_parts_outside_of_the_volume_are_cut_off():
    start, score = stitched({(-2, 36, 4): 0.7}).stitch()
    assert start == [0, 36, 4]
    assert score.shape == (6, 4, 1)


def test_overlapping_patches_are_averaged_by_distance_from_their_centres():
    _, score = stitched({(0, 0, 0): 0.0, (4, 0, 0): 1.0}).stitch()
    line = score[:, 4, 0]
    assert line[:4].tolist() == [0, 0, 0, 0]
    assert line[8:].tolist() == pytest.approx([1, 1, 1, 1])
    assert (line[4:8].diff() > 0).all()
    assert line[5] + line[6] == pytest.approx(1)


def test_gaps_between_patches_have_score_zero():
    _, score = stitched({(0, 0, 0): 1.0, (20, 0, 0): 1.0}).stitch()
    assert score[8:20].abs().max() == 0


def test_patches_added_at_once_have_the_same_sums_as_one_by_one(monkeypatch):
    places = torch.randint(-4, 36, (60, 2), generator=torch.Generator().manual_seed(0)).tolist()
    patches = {(x, y, number % 5): torch.rand(8, 8) for number, (x, y) in enumerate(places)}
    made = StitchedObject(1, (8, 8, 1), SHAPE, 0)
    for start, score in patches.items():
        made.add(start, score)
    first, one_by_one = made.stitch()
    monkeypatch.setattr(stitching, "ONE_BY_ONE", ())
    again, at_once = made.stitch()
    assert first == again
    assert torch.equal(one_by_one, at_once)
    assert at_once.stride() == one_by_one.stride()
    for group in made._groups():  # of which none overlap, so that a GPU's sums have an order
        assert len({z for _, _, z in group}) == len(group)


EVERYWHERE = np.ones(SHAPE, np.int16)


def test_an_object_at_all_borders_requests_patches_on_all_sides():
    more = requested(stitched({(16, 16, 2): 0.9}), EVERYWHERE)
    assert sorted(more) == [(12, 16, 2), (16, 12, 2), (16, 20, 2), (20, 16, 2)]


def test_an_object_inside_its_patch_requests_no_patches():
    assert requested(stitched({(16, 16, 2): 0.4}), EVERYWHERE) == []


def test_no_patches_are_requested_beyond_the_volume():
    assert sorted(requested(stitched({(0, 32, 2): 0.9}), EVERYWHERE)) == [(0, 28, 2), (4, 32, 2)]


def test_no_patches_are_requested_where_another_covers_the_border():
    more = requested(stitched({(16, 16, 2): 0.9, (22, 16, 2): 0.9}), EVERYWHERE)
    assert sorted(more) == [(12, 16, 2), (16, 12, 2), (16, 20, 2), (22, 12, 2), (22, 20, 2), (26, 16, 2)]


def test_a_patch_of_another_slice_does_not_cover_the_border():
    more = requested(stitched({(16, 16, 2): 0.9, (22, 16, 3): 0.0}), EVERYWHERE)
    assert (20, 16, 2) in more


def test_no_patches_are_requested_outside_the_attention():
    objects = np.zeros(SHAPE, np.int16)
    objects[16:24, 20:26, 2] = 1
    assert requested(stitched({(16, 16, 2): 0.9}), objects) == [(12, 16, 2), (20, 16, 2), (16, 20, 2)]


def test_requests_are_limited_and_check_only_new_patches():
    made = stitched({(16, 16, 2): 0.9}, grow=2)
    first = requested(made, EVERYWHERE)
    assert made.pending == len(first) == 4
    for start in first:
        made.add(start, torch.full((8, 8), 0.9 if start == (20, 16, 2) else 0.0))
    assert (24, 16, 2) in requested(made, EVERYWHERE)
    assert requested(made, EVERYWHERE) == []


def test_in_3d_patches_are_requested_along_all_axes():
    more = requested(stitched({(16, 16, -2): 0.9}, box=(8, 8, 8)), EVERYWHERE)
    assert sorted(more) == [(12, 16, -2), (16, 12, -2), (16, 20, -2), (20, 16, -2)]
