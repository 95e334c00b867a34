"""Intensity augmentation: against scipy and NumPy, image by image."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from scripts.queries import intensities
from scripts.queries.intensities import Intensities, slabs
from scripts.queries.noise import normal_by_place

from .test_blur import images, reach

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


def changed(image: torch.Tensor, draws: Mapping[str, np.ndarray]) -> torch.Tensor:
    """A batch of images (B, C, *spatial) with its intensities changed, part by part; the batch is overwritten."""
    changes = Intensities(image, draws)
    for part in slabs(image):
        changes.change(image[part], part, image[part])
    return image


def expected(image: np.ndarray, draws: dict[str, np.ndarray], order: tuple[str, ...] = NAMES) -> np.ndarray:
    """The changes of images (B, 1, *spatial), one image after the other, by scipy and NumPy."""
    seeds = torch.from_numpy(draws.get("noise_seed", np.zeros(len(image))).astype(int))
    noise = normal_by_place(seeds, image[0].size, torch.float64).view(image.shape).numpy()
    outputs = []
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
        outputs.append(np.clip(one, -1, 1))
    return np.stack(outputs)[:, None]


@pytest.mark.parametrize("names", INTENSITIES.values(), ids=INTENSITIES.keys())
@pytest.mark.parametrize("shape", [(13, 9), (8, 7, 9)], ids=["2-D", "3-D"])
def test_changes_agree_with_numpy(names, shape):
    image = images(3, shape)
    draws = {name: DRAWS[name] for name in names}
    found = changed(image.clone(), draws)
    assert np.abs(found.numpy() - expected(image.numpy(), draws)).max() < 1e-12
    quiet = {name: values for name, values in draws.items() if "noise" not in name}
    in_single = changed(image.float(), quiet)
    assert in_single.dtype == torch.float32
    assert np.abs(in_single.numpy() - expected(image.numpy(), quiet)).max() < 1e-5


def test_their_order_is_blur_gamma_gain_noise():
    image = images(3, (13, 9))
    found = changed(image.clone(), DRAWS).numpy()
    orders = itertools.permutations(NAMES)
    apart = {order: np.abs(found - expected(image.numpy(), DRAWS, order)).max() for order in orders}
    assert apart.pop(NAMES) < 1e-12
    assert min(apart.values()) > 1e-2


@pytest.mark.parametrize("gamma", [0.4, 1.0, 2.5])
def test_gamma_keeps_the_ends_of_the_window_and_the_order_between(gamma):
    image = torch.linspace(-1, 1, 21, dtype=torch.float64).view(1, 1, 21, 1)
    found = changed(image.clone(), {"gamma": np.array([gamma])}).flatten()
    assert found[[0, -1]].tolist() == [-1, 1]
    assert (found.diff() > 0).all()
    assert found[10].item() == pytest.approx(2 * 0.5**gamma - 1)


def test_intensities_are_clipped_to_the_window():
    image = images(3, (13, 9))
    wild = {"gain": np.full(3, 9.0), "offset": np.array([3.0, -3.0, 0.0]), "noise": np.ones(3)}
    found = changed(image.clone(), wild | {"noise_seed": np.array([1, 2, 3])})
    assert found.max() == 1
    assert found.min() == -1
    assert torch.equal(changed(image * 3, {}), (image * 3).clamp(-1, 1))


def test_the_noise_is_gaussian_of_each_images_own_strength():
    strength = np.array([0.01, 0.1, 0.0])
    draws = {"noise": strength, "noise_seed": np.array([7, 8, 9])}
    noise = changed(torch.zeros(3, 1, 64, 64, dtype=torch.float64), draws).numpy()
    assert not noise[2].any()
    for index in (0, 1):
        assert kstest(noise[index].ravel() / strength[index], "norm").pvalue > 0.01
    apart = np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]
    assert abs(apart) < 0.05  # an image does not repeat another's noise


def test_noise_depends_only_on_its_seed():
    image = images(2, (6, 5)).float() * 0.1
    draws = {"noise": np.full(2, 0.1), "noise_seed": np.array([7, 8])}
    first = changed(image.clone(), draws)
    torch.rand(5)
    state = torch.get_rng_state()
    assert torch.equal(changed(image.clone(), draws), first)
    assert torch.equal(torch.get_rng_state(), state)  # and nobody else's
    assert not torch.equal(changed(image.clone(), draws | {"noise_seed": np.array([8, 9])}), first)


@pytest.mark.parametrize("shape", [(13, 9), (8, 7, 9)], ids=["2-D", "3-D"])
def test_changes_do_not_depend_on_the_slab_size(shape, monkeypatch):
    image = images(3, shape, channels=2).float()
    whole = changed(image.clone(), DRAWS)
    monkeypatch.setattr(intensities, "THREAD_VOXELS", 1)
    assert len(intensities.slabs(image)) == 3
    assert torch.allclose(changed(image.clone(), DRAWS), whole, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 0.8, 1.3, 3.0])
def test_air_stays_air_under_a_gamma(gamma):
    image = torch.full((1, 1, 4, 4), -1.0)
    found = changed(image, {"gamma": np.array([gamma])})
    assert (found == -1).all()


def test_a_blur_too_narrow_to_be_seen_is_left_out():
    image = images(3, (9, 9)).float()
    narrow = {"blur": np.array([0.0, 0.1, 0.15])}
    assert torch.equal(changed(image.clone(), narrow), image)
    by_scipy = gaussian_filter(image[2, 0].double().numpy(), 0.15, mode="nearest")
    assert np.abs(by_scipy - image[2, 0].numpy()).max() < 1e-7


def test_each_channel_is_changed_alike():
    image = images(3, (13, 9), channels=2)
    quiet = {name: values for name, values in DRAWS.items() if "noise" not in name}
    found = changed(image.clone(), quiet).numpy()
    for channel in range(2):
        assert np.abs(found[:, channel] - expected(image[:, channel, None].numpy(), quiet)[:, 0]).max() < 1e-12
