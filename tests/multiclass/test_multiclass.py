"""The multiclass network."""

import pytest
import torch

from scripts.errors import SemclError
from scripts.multiclass.multiclass import Multiclass
from scripts.networks.decoder import AsppDecoder
from scripts.networks.encoder import QueryEncoder


@pytest.mark.parametrize("dims", [2, 3])
def test_a_logit_for_every_class_and_voxel(dims):
    encoder = QueryEncoder(dims, layers=(1, 1, 1, 1), widths=(4, 6, 8, 10), in_channels=1)
    network = Multiclass(encoder, AsppDecoder(dims, encoder.channels, 16, skip_width=4, outputs=5))
    size = (32, 16, 8)[:dims]
    assert network(torch.zeros(2, 1, *size)).shape == (2, 5, *size)


def test_what_is_not_an_encoder_is_refused():
    with pytest.raises(SemclError, match="not an encoder"):
        Multiclass(torch.nn.Identity(), None)


def test_weights_that_no_map_that_is_read_depends_on_are_frozen():
    """Several ranks would wait for their gradients."""

    class Branched(QueryEncoder):
        def __init__(self):
            super().__init__(2, layers=(1, 1, 1, 1), widths=(4, 6, 8, 10), in_channels=1)
            self.aside = torch.nn.Conv2d(6, 6, 1)

        def forward(self, inputs):
            maps = super().forward(inputs)
            return [maps[0], self.aside(maps[1]), *maps[2:]]

    for skips, frozen in (([2], {"aside.weight", "aside.bias"}), ([1, 2], set())):
        encoder = Branched()
        network = Multiclass(encoder, AsppDecoder(2, encoder.channels, 16, skips=skips, skip_width=4, outputs=5))
        assert {name for name, weight in network.encoder.named_parameters() if not weight.requires_grad} == frozen
