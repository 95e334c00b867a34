"""The window of intensities: what becomes -1 and 1, and scans that show nothing in it."""

import numpy as np
import pytest
import torch

from scripts.cohort.window import normalise, require_visible
from scripts.errors import SemclError


def test_a_window_is_mapped_to_minus_one_to_one_and_clipped():
    image = torch.tensor([-1000.0, -160, -60, 40, 140, 240, 3000])
    expected = np.interp(image.numpy(), [-160, 240], [-1, 1])
    np.testing.assert_allclose(normalise(image, [-160, 240]).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(normalise(image.to(torch.int16), [-160, 240]).numpy(), expected, atol=1e-6)


def test_a_percentile_window_is_the_volumes_own():
    image = torch.from_numpy(np.random.default_rng(0).gamma(2, 50, size=(1, 12, 11, 10)))
    low, high = np.percentile(image.numpy(), [1, 99])
    expected = np.interp(image.numpy(), [low, high], [-1, 1])
    np.testing.assert_allclose(normalise(image, "percentile").numpy(), expected, atol=1e-5)


def test_a_volume_without_contrast_stays_finite():
    assert normalise(torch.full((1, 3, 3, 3), 7.0), "percentile").isfinite().all()


def test_an_unknown_window_is_refused():
    match = r'(?s)unknown intensity window.*found: +abdomen.*expected: \[low, high\].*"percentile".*set window'
    with pytest.raises(SemclError, match=match):
        normalise(torch.zeros(1, 2, 2, 2), "abdomen")


def test_each_channel_has_a_percentile_window_of_its_own():
    channels = torch.stack([torch.linspace(0, 1, 1000), torch.linspace(500, 900, 1000)]).view(2, 10, 10, 10)
    normalised = normalise(channels, "percentile")
    assert torch.allclose(normalised[0], normalised[1], atol=1e-4)
    assert torch.equal(normalised[:1], normalise(channels[:1], "percentile"))


def test_percentiles_of_a_large_volume_see_all_slices():
    volume = torch.arange(200.0).repeat(100, 100, 1)  # two million voxels, a slice a value
    normalised = normalise(volume, "percentile")
    assert (normalised.unique().numel()) > 190


@pytest.mark.parametrize("window", [[100, -100], [0, 1, 2], [5, 5], "percentil"])
def test_an_invalid_window_is_refused(window):
    with pytest.raises(SemclError, match="low below high"):
        normalise(torch.zeros(4), window)


VISIBLE = {
    "a CT": ([-1000, 1500], [-160, 240]),
    "a CT of soft tissue alone": ([20, 60], [-160, 240]),
    "intensities of no unit": ([0, 1], "percentile"),
    "the window of normalised ones": ([0, 1], [0, 1]),
}
HIDDEN = {
    "one value": ([7, 7], "percentile", "values from 7 to 7 in scan.nii", "different values"),
    "a label map": ([0, 13], [-160, 240], "values from 0 to 13", "5% of the window from -160 to 240"),
    "normalised": ([0, 1], [-160, 240], "values from 0 to 1", "5% of the window"),
    "beyond the window": ([300, 4000], [-160, 240], "values from 300 to 4000", "5% of the window"),
    "nothing but air": ([-1024, -200], [-160, 240], "values from -1024 to -200", "5% of the window"),
}


@pytest.mark.parametrize(("values", "window"), VISIBLE.values(), ids=VISIBLE)
def test_a_scan_that_shows_something_is_accepted(values, window):
    require_visible(torch.linspace(*values, 64).view(1, 4, 4, 4), window, "a", "scan.nii")


@pytest.mark.parametrize(("values", "window", "found", "expected"), HIDDEN.values(), ids=HIDDEN)
def test_a_scan_that_shows_nothing_is_refused(values, window, found, expected):
    match = f"(?s)case a: a scan shows next to nothing.*{found}.*{expected}.*leave label maps out"
    with pytest.raises(SemclError, match=match):
        require_visible(torch.linspace(*values, 64).view(1, 4, 4, 4), window, "a", "scan.nii")
