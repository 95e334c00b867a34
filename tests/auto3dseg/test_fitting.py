"""Numbers derived from Auto3DSeg's analysis."""

from scripts.auto3dseg.bundle import check_numbers
from scripts.auto3dseg.fitting import fit, for_memory
from scripts.auto3dseg.flat_names import CHAIN_STAGES
from scripts.bundle_folder import bundle_folder, load_common


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
    sizes = {"patch_size": 64, "segment_size": [160, 120], "coarse_size": [64, 56, 32]}
    assert found == {"window": [-80, 220], "spacing": [2.5, 2.5, 0], **sizes}


def test_small_volumes_keep_their_voxels():
    found = fit(stats([35, 50, 36], [1.0, 1.0, 1.0]), "MR", load_common(bundle_folder()))
    sizes = {"spacing": [1.0, 1.0, 0], "patch_size": 56, "segment_size": [40, 56], "coarse_size": [40, 56, 32]}
    assert found == {"window": "percentile", **sizes}


def test_cubes_are_resampled_along_the_body_too():
    found = fit(stats([400, 400, 400], [1.0, 1.0, 0.5]), "CT", load_common(bundle_folder()) | {"spatial_dims": 3})
    assert found["spacing"] == [2.5, 2.5, 2.5]


def test_channels_are_windowed_each_by_its_own_percentiles():
    found = fit(stats([240, 240, 155], [1.0, 1.0, 1.0], channels=4), "CT", load_common(bundle_folder()))
    assert (found["image_channels"], found["window"]) == (4, "percentile")


def test_a_large_gpu_gets_the_numbers_of_the_standard_overlay():
    shared = load_common(bundle_folder())
    assert for_memory(8.0, shared, "segment") == {}
    numbers = for_memory(24.0, shared, "segment")
    assert (numbers["common"]["patch_size"], numbers["train"]["max_epochs"]) == (128, 100)
    assert numbers["coarse"] == {"max_epochs": 100, "epoch_length": 250, "batch_size": 12}
    assert "batch_size" not in for_memory(24.0, shared, "coarse")["coarse"]  # of whole volumes
    found = fit(stats([512, 512, 100], [0.78, 0.78, 3.0]), "CT", shared | numbers["common"], large=True)
    assert (found["spacing"], found["patch_size"], found["segment_size"]) == ([1.56, 1.56, 0], 128, [256, 256])
    check_numbers(numbers, CHAIN_STAGES)
