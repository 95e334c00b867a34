"""Geometry of views: the same grids and samples as PyTorch's."""

import pytest
import torch
from torch.nn import functional

from scripts.queries.geometry import affine_planes, axial_places, axial_sample

from .test_views import still


@pytest.mark.parametrize("side", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("dims", [2, 3])
def test_affine_planes_agree_with_torchs_affine_grid(dims, side):
    theta = torch.randn(3, dims, dims + 1, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
    by_torch = functional.affine_grid(theta, [3, 1, *[side] * dims], align_corners=False)
    assert torch.allclose(affine_planes(theta, side).movedim(0, -1), by_torch, atol=1e-12)
    single = affine_planes(theta.float(), side)
    assert single.dtype == torch.float32
    assert torch.allclose(single.movedim(0, -1), by_torch.float(), atol=1e-5)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("side", [8, 13])
def test_axial_sampling_agrees_with_torchs_grid_sample(side, mode):
    volume = torch.rand(3, 2, 13, 13, 13, generator=torch.Generator().manual_seed(0))
    views = still(side, area=(0.3, 1.4), rotation=30, flip_axes=[0, 2], shift=0.3)
    views.randomize((3, 3))
    theta = torch.from_numpy(views.matrices(3, side / 13)).float()
    grid = functional.affine_grid(theta, [3, 1, side, side, side], align_corners=False)
    expected = functional.grid_sample(volume, grid, mode=mode, align_corners=False)
    sampled = axial_sample(volume, axial_places(theta, side, 13), mode)
    if mode == "nearest":  # ties may fall either way
        assert (sampled != expected).float().mean() < 1e-3
    else:
        torch.testing.assert_close(sampled, expected, atol=1e-5, rtol=0)
