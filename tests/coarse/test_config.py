"""Which config the coarse stage is."""

import pytest
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.unet import UNet
from torch import nn

from scripts.bundle_folder import bundle_folder
from scripts.coarse.config import VOLUMES_ALONE, coarse_config, require_classes
from scripts.errors import SemclError
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


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (UNet(3, 1, 5, [4, 8], [2]), r"\[1, 5, 8, 8, 8\]"),
        (UNet(3, 1, 2, [4, 8], [2]), r"\[1, 2, 8, 8, 8\]"),
        (nn.Sequential(nn.Conv3d(1, 3, 1), nn.MaxPool3d(2)), r"\[1, 3, 4, 4, 4\]"),
    ],
)
def test_a_coarse_network_of_other_outputs_is_refused(network, found):
    with pytest.raises(SemclError, match=rf"(?s)does not fit the label table.*scores of shape {found}.*2 organs"):
        require_classes(network, 3, [8, 8, 8], 1)


def test_a_network_of_monai_is_a_coarse_network_as_it_is():
    network = BasicUNet(3, 1, 3, [4, 4, 8, 8, 8, 4]).train()
    require_classes(network, 3, [32, 32, 32], 1)
    assert network.training
