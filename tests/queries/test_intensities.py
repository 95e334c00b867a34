"""Changes of intensity: against scipy and NumPy, image by image."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from scripts.queries import intensities
from scripts.queries.blur import REACH, blur
from scripts.queries.intensities import change_intensities

SIGMAS = np.array([0.0, 0.3, 0.8, 1.7])
SHAPES = {"2-D": (13, 9), "3-D": (8, 7, 9), "smaller than the blur": (3, 2)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())

DRAWS = {
    "blur": np.array([0.4, 1.2, 0.9]),
    "gamma": np.array([0.5, 1.3, 2.0]),
    "gain": np.array([0.7, 1.0, 1.4]),
    "offset": np.array([0.1, -0.3, 0.2]),
    "noise": np.array([0.05, 0.02, 0.1]),
    "noise_seed": np.array([41, 42, 43]),
}
NAMES = ("blur", "gamma", "gain and offset", "noise")
INTENSITIES = {
    "nothing": (),
    "blur": ("blur",),
    "gamma": ("gamma",),
    "gain and offset": ("gain", "offset"),
    "noise": ("noise", "noise_seed"),
    "all": tuple(DRAWS),
}


def images(count: int, shape: tuple[int, ...], channels: int = 1) -> torch.Tensor:
    """Images (count, channels, *shape) in [-1, 1], in double precision."""
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, channels, *shape, generator=generator, dtype=torch.float64) * 2 - 1


def reach(sigmas: np.ndarray) -> int:
    return max(1, int(np.ceil(REACH * sigmas.max())))


def expected(image: np.ndarray, draws: dict[str, np.ndarray], order: tuple[str, ...] = NAMES) -> np.ndarray:
    """The changes of images (B, 1, *spatial), one image after the other, by scipy and NumPy."""
    seeds = draws.get("noise_seed", np.zeros(len(image))).astype(int).tolist()
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = np.stack([torch.randn(image.shape[1:], generator=one, dtype=torch.float64).numpy() for one in generators])
    changed = []
    for index, given in enumerate(image[:, 0]):
        one = given
        for name in order:
            if name == "blur" and "blur" in draws:
                one = gaussian_filter(one, draws["blur"][index], mode="nearest", radius=reach(draws["blur"][[index]]))
            if name == "gamma" and "gamma" in draws:
                one = np.clip((one + 1) / 2, 0, 1) ** draws["gamma"][index] * 2 - 1
            if name == "gain and offset" and "gain" in draws:
                one = one * draws["gain"][index] + draws["offset"][index]
            if name == "noise" and "noise" in draws:
                one = one + noise[index, 0] * draws["noise"][index]
        changed.append(np.clip(one, -1, 1))
    return np.stack(changed)[:, None]


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
def test_what_a_blur_cuts_off_is_little(shape):
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


def test_a_blur_leaves_its_input_and_its_type_alone():
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


@pytest.mark.parametrize("names", INTENSITIES.values(), ids=INTENSITIES.keys())
@pytest.mark.parametrize("shape", [(13, 9), (8, 7, 9)], ids=["2-D", "3-D"])
def test_changes_are_those_of_numpy(names, shape):
    image = images(3, shape)
    draws = {name: DRAWS[name] for name in names}
    changed = change_intensities(image.clone(), draws)
    assert np.abs(changed.numpy() - expected(image.numpy(), draws)).max() < 1e-12
    quiet = {name: values for name, values in draws.items() if "noise" not in name}
    in_single = change_intensities(image.float(), quiet)
    assert in_single.dtype == torch.float32
    assert np.abs(in_single.numpy() - expected(image.numpy(), quiet)).max() < 1e-5


def test_their_order_is_blur_gamma_gain_noise():
    image = images(3, (13, 9))
    changed = change_intensities(image.clone(), DRAWS).numpy()
    orders = itertools.permutations(NAMES)
    apart = {order: np.abs(changed - expected(image.numpy(), DRAWS, order)).max() for order in orders}
    assert apart.pop(NAMES) < 1e-12
    assert min(apart.values()) > 1e-2


@pytest.mark.parametrize("gamma", [0.4, 1.0, 2.5])
def test_gamma_keeps_the_ends_of_the_window_and_the_order_between(gamma):
    image = torch.linspace(-1, 1, 21, dtype=torch.float64).view(1, 1, 21, 1)
    changed = change_intensities(image.clone(), {"gamma": np.array([gamma])}).flatten()
    assert changed[[0, -1]].tolist() == [-1, 1]
    assert (changed.diff() > 0).all()
    assert changed[10].item() == pytest.approx(2 * 0.5**gamma - 1)


def test_intensities_are_clipped_to_the_window():
    image = images(3, (13, 9))
    wild = {"gain": np.full(3, 9.0), "offset": np.array([3.0, -3.0, 0.0]), "noise": np.ones(3)}
    changed = change_intensities(image.clone(), wild | {"noise_seed": np.array([1, 2, 3])})
    assert changed.max() == 1
    assert changed.min() == -1
    assert torch.equal(change_intensities(image * 3, {}), (image * 3).clamp(-1, 1))


def test_the_noise_is_gaussian_of_each_images_own_strength():
    strength = np.array([0.01, 0.1, 0.0])
    draws = {"noise": strength, "noise_seed": np.array([7, 8, 9])}
    noise = change_intensities(torch.zeros(3, 1, 64, 64, dtype=torch.float64), draws).numpy()
    assert not noise[2].any()
    for index in (0, 1):
        assert kstest(noise[index].ravel() / strength[index], "norm").pvalue > 0.01
    apart = np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]
    assert abs(apart) < 0.05  # an image does not repeat another's noise


def test_a_seed_gives_its_noise_whatever_was_drawn_before():
    image = images(2, (6, 5)).float() * 0.1
    draws = {"noise": np.full(2, 0.1), "noise_seed": np.array([7, 8])}
    first = change_intensities(image.clone(), draws)
    torch.rand(5)
    state = torch.get_rng_state()
    assert torch.equal(change_intensities(image.clone(), draws), first)
    assert torch.equal(torch.get_rng_state(), state)  # and nobody else's
    assert not torch.equal(change_intensities(image.clone(), draws | {"noise_seed": np.array([8, 9])}), first)


@pytest.mark.parametrize("shape", [(130, 70), (65, 3), (64, 129)], ids=str)
@pytest.mark.parametrize("widest", [0.9, 9.0])
def test_long_axes_are_blurred_as_scipy_does(shape, widest):
    image, sigmas = images(2, shape, channels=2), np.array([0.5, widest])
    blurred = blur(image, sigmas)
    for index, channel in itertools.product(range(2), repeat=2):
        given = image[index, channel].numpy()
        by_scipy = gaussian_filter(given, sigmas[index], mode="nearest", radius=reach(sigmas[[index]]))
        assert np.abs(blurred[index, channel].numpy() - by_scipy).max() < 1e-12


@pytest.mark.parametrize("shape", [(13, 9), (8, 7, 9)], ids=["2-D", "3-D"])
def test_changes_do_not_depend_on_how_much_is_worked_on_at_once(shape, monkeypatch):
    image = images(3, shape, channels=2).float()
    whole = change_intensities(image.clone(), DRAWS)
    monkeypatch.setattr(intensities, "SLAB", 1)
    assert len(intensities.slabs(image)) == 3
    assert torch.allclose(change_intensities(image.clone(), DRAWS), whole, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 0.8, 1.3, 3.0])
def test_air_stays_air_under_a_gamma(gamma):
    image = torch.full((1, 1, 4, 4), -1.0)
    changed = change_intensities(image, {"gamma": np.array([gamma])})
    assert (changed == -1).all()


def test_a_blur_too_narrow_to_be_seen_is_left_out():
    image = images(3, (9, 9)).float()
    narrow = {"blur": np.array([0.0, 0.1, 0.15])}
    assert torch.equal(change_intensities(image.clone(), narrow), image)
    by_scipy = gaussian_filter(image[2, 0].double().numpy(), 0.15, mode="nearest")
    assert np.abs(by_scipy - image[2, 0].numpy()).max() < 1e-7


def test_each_channel_is_changed_alike():
    image = images(3, (13, 9), channels=2)
    quiet = {name: values for name, values in DRAWS.items() if "noise" not in name}
    changed = change_intensities(image.clone(), quiet).numpy()
    for channel in range(2):
        assert np.abs(changed[:, channel] - expected(image[:, channel, None].numpy(), quiet)[:, 0]).max() < 1e-12
