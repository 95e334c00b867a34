"""The encoder half of MONAI's UNet."""

import pytest

from scripts.networks.unet_encoder import UNetEncoder


@pytest.mark.parametrize("units", [0, 1])
def test_its_weights_have_the_names_they_have_in_unet(units):
    encoder = UNetEncoder(2, 1, channels=[4, 6, 8], strides=[2, 2], num_res_units=units)
    names = set(encoder.state_dict())
    whole = set(encoder.whole(1, 3).state_dict())
    assert names <= whole
    assert {name for name in whole - names if ".2." not in f".{name}"} == set()  # the rest is the way up
