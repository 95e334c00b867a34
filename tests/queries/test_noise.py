"""Noise of 16 random bits: against the normal distribution, and reproducible."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from scripts.queries import noise as module
from scripts.queries.noise import LEVELS, STRIDES, Noise, normal_by_place
from tests.test_syncs import Kernels

CPU = torch.device("cpu")
HALVES = [slice(0, 2), slice(2, 5)]


def noise_of(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return Noise(seed + 1000 * np.arange(shape[0]), CPU).fill(torch.empty(shape, dtype=dtype))


def test_it_is_normal():
    noise = noise_of(0, 4, 250_000).double().numpy().ravel()
    assert kstest(noise, "norm").pvalue > 0.01
    assert noise.mean() == pytest.approx(0, abs=5e-3)
    assert noise.var() == pytest.approx(1, abs=7e-3)
    assert (noise**3).mean() == pytest.approx(0, abs=0.02)
    assert (noise**4).mean() == pytest.approx(3, abs=0.05)


def test_its_tails_are_normal_up_to_four_and_end_there():
    noise = noise_of(1, 4, 1_000_000).abs()
    for far in (2, 3, 3.5, 4):
        expected = 2 * norm.sf(far) * noise.numel()
        assert abs((noise > far).sum().item() - expected) < 5 * np.sqrt(expected)
    assert 4.2 < noise.max() < 4.33


def test_every_level_occurs_and_matches_its_quantile():
    levels = noise_of(2, 1, 4_000_000).unique().double().numpy()
    assert len(levels) == LEVELS
    exact = norm.ppf((np.arange(LEVELS) + 0.5) / LEVELS)
    assert np.abs(levels - exact).max() < 1e-4
    assert np.mean(levels**2) == pytest.approx(1, abs=1e-6)
    assert np.abs(norm.cdf(levels) - (np.arange(LEVELS) + 0.5) / LEVELS).max() < 1e-5


def test_neighbours_and_images_are_independent():
    noise = noise_of(3, 2, 200_000).double().numpy()
    for apart in (1, 2, 3, 4, 5, 8):
        assert abs(np.corrcoef(noise[0, :-apart], noise[0, apart:])[0, 1]) < 0.01
        assert abs(np.corrcoef(noise[0, :-apart] ** 2, noise[0, apart:] ** 2)[0, 1]) < 0.01
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.01


@pytest.mark.parametrize("shape", [(5, 1, 7, 9), (5, 2, 3, 3, 3)])
def test_it_does_not_depend_on_how_a_batch_is_split(shape):
    noise = Noise(4 + 1000 * np.arange(5), CPU)
    parts = [slice(0, 2), slice(2, 3), slice(3, 5)]
    filled = [noise.fill(torch.empty(part.stop - part.start, *shape[1:]), part) for part in parts]
    assert torch.equal(torch.cat(filled), noise_of(4, *shape))
    assert not torch.equal(filled[0], noise_of(5, *shape)[:2])


def test_it_leaves_other_generators_alone():
    state = torch.get_rng_state()
    noise_of(6, 2, 10)
    assert torch.equal(torch.get_rng_state(), state)


# By place, as on a GPU and in double precision


def splitmix(seed: int, place: int) -> int:
    """The finalizer of SplitMix64, on the same state, in Python's integers."""
    mask = 2**64 - 1
    state = (seed * STRIDES[0] + (place + 1) * STRIDES[1]) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_each_number_is_the_quantile_of_its_hashed_seed_and_place():
    seeds = [0, 5, 2**31 - 1]
    found = normal_by_place(torch.tensor(seeds), 40, torch.float64)
    uniform = np.array([[((splitmix(seed, place) >> 12) + 0.5) / 2**52 for place in range(40)] for seed in seeds])
    np.testing.assert_allclose(found.numpy(), norm.ppf(uniform), rtol=1e-9, atol=1e-12)
    assert STRIDES[1] % 2**64 == 0x9E3779B97F4A7C15
    assert all(stride % 2 for stride in STRIDES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_by_place_it_is_normal_and_independent(dtype):
    noise = normal_by_place(torch.tensor([3, 4, 1003]), 500_000, dtype).double().numpy()
    assert kstest(noise.ravel(), "norm").pvalue > 0.01
    assert noise.mean() == pytest.approx(0, abs=4e-3)
    assert noise.var() == pytest.approx(1, abs=6e-3)
    for far in (2, 3, 4):
        expected = 2 * norm.sf(far) * noise.size
        assert abs((np.abs(noise) > far).sum() - expected) < 5 * np.sqrt(expected)
    for apart in (1, 2, 3, 4, 5, 8, 64, 1024):
        assert abs(np.corrcoef(noise[0, :-apart], noise[0, apart:])[0, 1]) < 0.006
    for other in (1, 2):
        assert abs(np.corrcoef(noise[0], noise[other])[0, 1]) < 0.006
        assert abs(np.corrcoef(noise[0] ** 2, noise[other] ** 2)[0, 1]) < 0.006


def test_by_place_the_largest_is_finite(monkeypatch):
    monkeypatch.setattr(module, "_shifted", lambda state, places: torch.full_like(state, 2 ** (64 - places) - 1))
    for dtype, most in ((torch.float32, 5.3), (torch.float64, 8.3)):
        assert 4 < normal_by_place(torch.tensor([1]), 1, dtype).item() < most


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_by_place_it_does_not_depend_on_how_a_batch_is_split(dtype):
    noise = Noise(4 + 1000 * np.arange(5), CPU)
    noise.generator = None  # as on a GPU
    whole = noise.fill(torch.empty(5, 2, 3, 7, dtype=dtype))
    parts = [noise.fill(torch.empty(part.stop - part.start, 2, 3, 7, dtype=dtype), part) for part in HALVES]
    assert torch.equal(torch.cat(parts), whole)


def test_on_a_gpu_a_batch_takes_no_more_launches_than_an_image():
    launched = []
    for count in (1, 104):
        with Kernels() as kernels:
            Noise(np.arange(count), torch.device("meta")).fill(torch.empty(count, 1, 128, 128, device="meta"))
        launched.append(kernels.count)
    assert launched[0] == launched[1] < 40
