"""Noise of 16 random bits: against the normal distribution, and reproducible."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from scripts.queries.noise import LEVELS, Noise

CPU = torch.device("cpu")


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


def test_in_double_precision_it_is_torchs():
    generators = [torch.Generator().manual_seed(seed) for seed in (7, 1007, 2007)]
    expected = [torch.randn(5, 11, generator=one, dtype=torch.float64) for one in generators]
    assert torch.equal(noise_of(7, 3, 5, 11, dtype=torch.float64), torch.stack(expected))
