"""The grid of plain networks."""

import pytest
import torch
from monai.data import MetaTensor

from scripts.errors import SemclError
from scripts.multiclass.grid import SegmentGrid


def volume(*shape: int) -> MetaTensor:
    return MetaTensor(
        torch.arange(torch.Size(shape).numel()).view(1, *shape), affine=torch.diag(torch.tensor([1.0, 2, 5, 1]))
    )


def test_slices_stay_as_scanned():
    grid = SegmentGrid(2, [8, 8], [2, 2, 3], [0, 100])
    assert grid.shape(volume(8, 6, 3)) == (4, 6, 3)
    assert grid.box == (8, 8, 1)


def test_patches_have_a_spacing_along_all_axes():
    grid = SegmentGrid(3, [8, 8, 8], [2, 0, 2.5], [0, 100])
    assert grid.shape(volume(8, 6, 3)) == (4, 6, 6)
    assert grid.box == (8, 8, 8)


def test_a_volume_is_windowed():
    image = SegmentGrid(2, [8, 8], [0, 0, 0], [0, 100])
    expected = (torch.arange(144.0).view(1, 8, 6, 3) / 50 - 1).clamp(-1, 1)
    torch.testing.assert_close(image.image(volume(8, 6, 3)), expected)


@pytest.mark.parametrize(("dims", "size"), [(2, [8, 8, 8]), (3, [8, 8])])
def test_a_size_of_other_dimensions_is_refused(dims, size):
    with pytest.raises(SemclError, match=rf"(?s)other dimensions.*segment_dims {dims}.*{dims} sides"):
        SegmentGrid(dims, size, [1, 1, 1], [0, 1])


def test_other_dimensions_are_refused():
    with pytest.raises(SemclError, match="segment_dims"):
        SegmentGrid(4, [8] * 4, [1, 1, 1], [0, 1])
