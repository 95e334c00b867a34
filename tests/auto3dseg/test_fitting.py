"""Numbers derived from Auto3DSeg's analysis."""

import pytest

from scripts.auto3dseg.fitting import fit
from scripts.bundle_folder import bundle_folder, load_common
from scripts.errors import SemclError


def stats(shape, spacing, channels=1):
    images = {
        "channels": {"max": channels},
        "shape": {"median": shape},
        "spacing": {"median": spacing},
        "sizemm": {"median": [count * size for count, size in zip(shape, spacing, strict=True)]},
    }
    intensity = {"percentile_10_0": 20.0, "percentile_90_0": 120.0}
    return {"stats_summary": {"image_stats": images, "image_foreground_stats": {"intensity": intensity}}}


def test_an_abdominal_ct_gets_about_the_numbers_of_the_configs():
    found = fit(stats([512, 512, 100], [0.78, 0.78, 3.0]), "CT", load_common(bundle_folder()))
    assert found == {"window": [-80, 220], "spacing": [2.5, 2.5, 0], "coarse_size": [64, 56, 32]}


def test_small_volumes_keep_their_voxels():
    found = fit(stats([35, 50, 36], [1.0, 1.0, 1.0]), "MR", load_common(bundle_folder()))
    assert found == {"window": "percentile", "spacing": [1.0, 1.0, 0], "coarse_size": [40, 56, 32]}


def test_cubes_are_resampled_along_the_body_too():
    found = fit(stats([400, 400, 400], [1.0, 1.0, 0.5]), "CT", load_common(bundle_folder()) | {"spatial_dims": 3})
    assert found["spacing"] == [2.5, 2.5, 2.5]


def test_several_channels_are_refused():
    with pytest.raises(SemclError, match="images of several channels\n  found:    4 channels"):
        fit(stats([35, 50, 36], [1.0, 1.0, 1.0], channels=4), "MR", load_common(bundle_folder()))
