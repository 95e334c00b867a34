"""Which config the coarse stage is."""

import pytest

from scripts.bundle_folder import bundle_folder
from scripts.coarse.config import VOLUMES_ALONE, coarse_config
from scripts.job.shipped_configs import shipped

BY_SLICES = {"coarse_dims": 2}


@pytest.mark.parametrize(
    ("given", "config", "numbers"),
    [
        ({}, "segment", BY_SLICES),
        ({"coarse_dims": 2, "coarse_channels": [8, 16]}, "segment", BY_SLICES),
        ({"coarse_dims": 3}, "coarse", {}),
        ({"coarse_channels": [8, 16, 32]}, "coarse", {}),
        ({"rotation": [0, 0, 0.2]}, "coarse", {}),
        ({"labelled_maps": "cross-fitted"}, "coarse", {}),
        ({"labelled_maps": "simulated", "tool_maps": None, "coarse_size": [40, 40, 24]}, "segment", BY_SLICES),
        ({"spacing": [3, 3, 1.5]}, "segment", {"coarse_dims": 2, "coarse_spacing": [3, 3, 0]}),
        ({"spacing": [3, 3, 0], "coarse_spacing": [4, 4, 0]}, "segment", BY_SLICES),
        ({"spacing": [3, 3, 0], "stages": ["train", "inference"]}, "segment", BY_SLICES),
        ({"spacing": "$@x"}, "segment", BY_SLICES),
    ],
)
def test_it_is_a_network_of_slices_unless_the_numbers_mean_one_of_volumes(given, config, numbers):
    assert coarse_config(given) == (config, numbers)


def test_numbers_of_volumes_alone_are_keys_that_segment_has_not_but_coarse_has():
    volumes, slices = (shipped(bundle_folder(), stage) for stage in ("coarse", "segment"))
    assert [key for key in VOLUMES_ALONE if key not in {**volumes.own, **volumes.common}] == []
    assert [key for key in VOLUMES_ALONE if key in slices.own] == []
