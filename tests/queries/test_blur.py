"""Gaussian blur: against scipy and a loop over voxels, image by image."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from scripts.queries.blur import CUTOFF, Gaussians

SIGMAS = np.array([0.0, 0.3, 0.8, 1.7])
SHAPES = {"2-D": (13, 9), "3-D": (8, 7, 9), "smaller than the blur": (3, 2)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def images(count: int, shape: tuple[int, ...], channels: int = 1) -> torch.Tensor:
    """Images (count, channels, *shape) in [-1, 1], in double precision."""
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, channels, *shape, generator=generator, dtype=torch.float64) * 2 - 1


def reach(sigmas: np.ndarray) -> int:
    """Voxels to each side at which the kernels are cut off."""
    return max(1, int(np.ceil(CUTOFF * sigmas.max())))


def blur(image: torch.Tensor, sigmas: np.ndarray) -> torch.Tensor:
    """Images (B, C, *spatial), blurred along all axes."""
    gaussians = Gaussians(sigmas, image)
    for axis in range(2, image.ndim):
        image = gaussians.along(axis, image, torch.empty_like(image))
    return image


@each_shape
def test_blur_is_that_of_scipy_for_each_image(shape):
    image = images(len(SIGMAS), shape)
    blurred = blur(image, SIGMAS)
    for index, sigma in enumerate(SIGMAS):
        by_scipy = gaussian_filter(image[index, 0].numpy(), sigma, mode="nearest", radius=reach(SIGMAS[[index]]))
        assert np.abs(blurred[index, 0].numpy() - by_scipy).max() < 1e-12


def test_blur_is_that_of_a_loop_over_voxels():
    image, sigma, far = images(1, (6, 5))[0, 0].numpy(), 0.9, 3
    sums = np.zeros_like(image)
    for x, y in np.ndindex(*image.shape):
        weights = 0.0
        for dx, dy in itertools.product(range(-far, far + 1), repeat=2):
            weight = np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
            sums[x, y] += weight * image[np.clip(x + dx, 0, 5), np.clip(y + dy, 0, 4)]
            weights += weight
        sums[x, y] /= weights
    blurred = blur(torch.from_numpy(image)[None, None], np.array([sigma]))
    assert np.abs(blurred[0, 0].numpy() - sums).max() < 1e-12


@each_shape
def test_the_truncated_tail_of_a_blur_is_small(shape):
    image = images(len(SIGMAS), shape)
    blurred = blur(image, SIGMAS)
    for index, sigma in enumerate(SIGMAS):
        whole = gaussian_filter(image[index, 0].numpy(), sigma, mode="nearest", truncate=8)
        assert np.abs(blurred[index, 0].numpy() - whole).max() < 5e-3


@each_shape
def test_no_blur_changes_nothing(shape):
    image = images(2, shape).float()
    assert torch.equal(blur(image, np.zeros(2)), image)
    assert torch.equal(blur(image, np.array([0.0, 2.0]))[0], image[0])


def test_a_blur_does_not_change_its_input_or_dtype():
    image = images(2, (6, 7), channels=3).float()
    before = image.clone()
    blurred = blur(image, np.array([1.0, 0.5]))
    assert torch.equal(image, before)
    assert (blurred.dtype, blurred.shape) == (image.dtype, image.shape)
    for channel in range(3):
        alone = blur(image[:, channel : channel + 1], np.array([1.0, 0.5]))[:, 0]
        assert torch.allclose(blurred[:, channel], alone, atol=1e-6)


def test_an_even_image_is_not_blurred_at_its_edges():
    image = torch.full((2, 1, 5, 6, 4), 0.25, dtype=torch.float64)
    assert torch.allclose(blur(image, np.array([0.7, 3.0])), image, atol=1e-12)


@pytest.mark.parametrize("shape", [(130, 70), (65, 3), (64, 129)], ids=str)
@pytest.mark.parametrize("widest", [0.9, 9.0])
def test_long_axes_are_blurred_as_scipy_does(shape, widest):
    image, sigmas = images(2, shape, channels=2), np.array([0.5, widest])
    blurred = blur(image, sigmas)
    for index, channel in itertools.product(range(2), repeat=2):
        given = image[index, channel].numpy()
        by_scipy = gaussian_filter(given, sigmas[index], mode="nearest", radius=reach(sigmas[[index]]))
        assert np.abs(blurred[index, channel].numpy() - by_scipy).max() < 1e-12
