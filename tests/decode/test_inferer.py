"""Whole volumes through the query inferer."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.contrast.query import QueryGrid
from scripts.decode.inferer import QueryInferer


def volume(shape=(40, 36, 12), spacing=(1.0, 1.0, 3.0)) -> MetaTensor:
    image = torch.zeros(1, 1, *shape)
    return MetaTensor(image, affine=torch.diag(torch.tensor([*spacing, 1.0])), meta={})


def boxes(shape=(40, 36, 12)) -> torch.Tensor:
    """A small object, one larger than a patch, one at the volume's corner."""
    objects = torch.zeros(1, 1, *shape, dtype=torch.int16)
    objects[0, 0, 2:38, 4:12, 3:9] = 2
    objects[0, 0, 18:25, 20:27, 4:8] = 1
    objects[0, 0, 36:, 32:, 10:] = 3
    return objects


def no_coarse(inputs: torch.Tensor) -> torch.Tensor:
    raise AssertionError("the attention was given")


def copy_mask(patches: torch.Tensor) -> torch.Tensor:
    """A refiner that is sure of its attention mask."""
    return (patches[:, 1:] - 0.5) * 20


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_a_network_that_copies_its_mask_gives_the_attention_back(dims, batch_size):
    inferer = QueryInferer(QueryGrid(dims, 16, [0, 0, 0], [-160, 240]), batch_size, no_coarse)
    result = inferer(volume(), copy_mask, attention=boxes())
    assert torch.equal(result, boxes())


def test_on_another_grid_it_comes_back_but_for_its_edges():
    inferer = QueryInferer(QueryGrid(2, 16, [1.5, 1.5, 0], [-160, 240]), 8, no_coarse)
    result = inferer(volume(), copy_mask, attention=boxes())
    assert result.shape == boxes().shape
    for number in (1, 2):
        drawn, truth = result == number, boxes() == number
        assert 2 * (drawn & truth).sum() / (drawn.sum() + truth.sum()) > 0.85


def test_where_two_objects_claim_a_voxel_the_surer_one_gets_it():
    attention = torch.zeros(1, 1, 32, 32, 1, dtype=torch.int16)
    attention[0, 0, 8:16, 8:24] = 1
    attention[0, 0, 16:24, 8:24] = 2

    def claim_all(patches):
        first = patches[:, 1, :, :].sum((1, 2)) > 0
        where = patches[:, 1].argmax(1).amax(1)  # some difference between the objects: the lower is surer
        return (
            torch.where(where > 8, 3.0, 1.0).view(-1, 1, 1, 1)
            * torch.ones_like(patches[:, 1:])
            * first.view(-1, 1, 1, 1)
        )

    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse)
    result = inferer(volume((32, 32, 1)), claim_all, attention=attention)
    scores = {}
    for number, probability in inferer.probabilities(torch.zeros(32, 32, 1), attention[0, 0], claim_all):
        scores[number] = probability.numpy()
    stacked = np.stack([np.full((32, 32, 1), 0.5), scores[1], scores[2]])
    assert np.array_equal(result[0, 0].numpy(), stacked.argmax(0))
    assert set(result.unique().tolist()) == {0, 1, 2}


def test_below_the_threshold_is_background():
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse, threshold=0.9)
    unsure = inferer(volume(), lambda patches: torch.ones_like(patches[:, 1:]), attention=boxes())
    assert not unsure.any()


def test_nothing_to_query_is_background():
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, no_coarse)
    assert not inferer(volume(), copy_mask, attention=torch.zeros_like(boxes())).any()


def test_a_volume_without_attention_gets_one_on_the_way():
    inferer = QueryInferer(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), 8, lambda inputs: boxes())
    assert torch.equal(inferer(volume(), copy_mask), boxes())
