"""Views: crop, scale, rotation and flip of image and masks together."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from scripts.contrast.views import PrepareViews, Views


def blobs(count: int, dims: int, size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images (count, 1, size, ...) in [-1, 1] and masks of where they are bright."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, *[4] * dims, generator=generator)
    mode = "bilinear" if dims == 2 else "trilinear"
    image = torch.nn.functional.interpolate(coarse, size=[size] * dims, mode=mode) * 2 - 1
    return image, (image > 0).float()


def still(patch_size: int, **changes) -> Views:
    """Views that change nothing but what is asked for."""
    settings = {"area": (1, 1), "rotation": 0} | changes
    views = Views(patch_size, **settings)
    views.set_random_state(0)
    return views


@pytest.mark.parametrize("dims", [2, 3])
def test_without_changes_the_patch_comes_back(dims):
    image, masks = blobs(3, dims, 12)
    moved, shown = still(12)(image, masks)
    assert torch.allclose(moved, image, atol=1e-5)
    assert torch.equal(shown, masks)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_margin_is_cut_off(dims):
    image, masks = blobs(2, dims, 20)
    inner = (slice(None), slice(None), *[slice(4, 16)] * dims)
    moved, shown = still(12)(image, masks)
    assert torch.allclose(moved, image[inner], atol=1e-5)
    assert torch.equal(shown, masks[inner])


@pytest.mark.parametrize("dims", [2, 3])
def test_one_interpolation_equals_scipy_with_the_recorded_draws(dims):
    image, masks = blobs(4, dims, 24)
    views = still(24, area=(0.3, 0.7), rotation=30, flip_axes=[0])
    moved, _ = views(image, masks)
    for index in range(4):
        draws = {name: values[index] for name, values in views.last.items()}
        cos, sin = np.cos(draws["angle"]), np.sin(draws["angle"])
        matrix = np.eye(dims)
        matrix[:2, :2] = [[cos, -sin], [sin, cos]]
        matrix = matrix * draws["scale"] * draws["flip"][None]
        centre = np.full(dims, 11.5)
        offset = centre + draws["centre"] * 12 - matrix @ centre
        expected = affine_transform(image[index, 0].numpy() + 1, matrix, offset, order=1, mode="constant") - 1
        inside = affine_transform(np.ones([24] * dims), matrix, offset, order=1, mode="constant") > 0.999
        assert np.abs(moved[index, 0].numpy() - expected)[inside].max() < 1e-4


def test_image_and_mask_move_together():
    image, masks = blobs(8, 2, 32)
    interior = torch.nn.functional.pad(torch.ones(8, 1, 28, 28), [2] * 4)
    moved, shown = still(32, area=(0.3, 0.7), rotation=30)(image, torch.cat([masks, interior], dim=1))
    sure = (moved.abs() > 0.2) & (shown[:, 1:] > 0)  # away from the mask's edge and from air
    assert sure.float().mean() > 0.3
    assert torch.equal((moved > 0)[sure], shown[:, :1].bool()[sure])


def test_paired_organs_keep_their_side_where_a_flip_would_have_turned_one_into_the_other(table):
    image = torch.full((64, 1, 32, 32), -1.0)
    right = torch.zeros(64, 1, 32, 32)
    right[:, :, 22:26] = 1  # an organ at large x: the patient's right

    def sides(flip_axes):
        _, shown = still(32, area=(0.8, 0.9), flip_axes=flip_axes)(image, right)
        x = torch.arange(32.0).view(-1, 1)
        return ((shown[:, 0] * x).sum((1, 2)) / shown[:, 0].sum((1, 2))) > 15.5

    assert table.flip_axes == []
    assert sides(table.flip_axes).all()
    assert 10 < sides([0]).sum() < 54  # had we flipped, half of them would have changed sides


def test_the_same_seed_draws_the_same_views():
    image, masks = blobs(4, 2, 16)

    def draw(seed):
        views = Views(16, flip_axes=[0])
        views.set_random_state(seed)
        return [views(image, masks)[0] for _ in range(2)]

    first, again, other = draw(0), draw(0), draw(1)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def test_intensities_change_within_their_bounds():
    image, masks = blobs(16, 2, 16)
    moved, _ = still(16, contrast=0.2, brightness=0.1)(image, masks)
    assert (moved - image).abs().max() <= 0.3 + 1e-5
    assert (moved - image).abs().max() > 0.05
    assert moved.abs().max() <= 1


def test_outside_of_the_patch_is_air():
    image = torch.ones(8, 1, 16, 16)
    moved, _ = still(16, area=(4, 4))(image, image)
    assert (moved[:, :, 0] == -1).all()
    assert (moved[:, :, 8, 8] == 1).all()


def test_a_pretraining_batch_is_view_by_view():
    image, masks = blobs(3, 2, 16)
    batch = {"image": image, "attention": masks, "cluster": torch.tensor([4, 5, 6])}
    inputs, labels = PrepareViews(Views(16), count=3)(batch, torch.device("cpu"))
    assert inputs.shape == (9, 2, 16, 16)
    assert labels.tolist() == [4, 5, 6] * 3
    assert set(inputs[:, 1].unique().tolist()) <= {0.0, 1.0}
