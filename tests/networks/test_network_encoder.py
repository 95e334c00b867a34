"""Encoders taken from whole networks."""

import pytest
import torch

from scripts.errors import SemclError
from scripts.networks.contrast_net import ContrastNet
from scripts.networks.network_encoder import NetworkEncoder, products


class Wrong(NetworkEncoder):
    """An encoder of the user's own that returns what it is told to."""

    def __init__(self, returned, **attributes):
        self.returned = returned
        super().__init__(lambda **given: torch.nn.Conv2d(2, 4, 3, padding=1), 2, 2, [4], [1], {})
        for name, value in attributes.items():
            setattr(self, name, value)

    def take(self, network):
        self.conv = network

    def forward(self, inputs):
        return self.returned(self.conv(inputs))


@pytest.mark.parametrize(
    ("returned", "attributes", "found"),
    [
        (lambda one: one, {}, "a Tensor instead of a list of feature maps"),
        (lambda one: [one], {"channels": [8]}, r"channels \[8\], whose maps have \[4\]"),
        (lambda one: [one], {"strides": [2]}, r"a stride of 2, whose map is \(1, 4, 4, 2\) of an input \(1, 2, 4, 2\)"),
        (lambda one: [one[..., 0]], {}, r"a stride of 1, whose map is \(1, 4, 2\)"),
        (lambda one: one.nothing, {}, "cannot be run on an input .*AttributeError"),
    ],
)
def test_maps_that_differ_from_the_contract_are_refused(returned, attributes, found):
    with pytest.raises(SemclError, match=rf"(?s)this module is not an encoder.*{found}"):
        ContrastNet(Wrong(returned, **attributes))


def test_strides_along_the_axis_that_is_subsampled_most():
    assert products([1, [2, 2, 1], 2]) == [1, 2, 4]
