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
