"""Inference with the coarse network: scores, interpolation, and weights loaded on first use."""

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from scipy.ndimage import zoom
from torch import nn

from scripts.coarse.inferer import CoarseInferer, CoarseModel, LoadCoarse
from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.intake.given_maps import ToolMaps
from scripts.job.weights import save_weights

from .networks import one_voxel_network


def by_threshold(image):
    """Scores (B, 3, X, Y, Z) of background, object 1 above -0.5 and object 2 above 0.5."""
    number = (image > -0.5).long() + (image > 0.5).long()
    return nn.functional.one_hot(number[:, 0], 3).movedim(-1, 1).float()


def test_the_inferer_windows_the_image_before_the_network():
    image = torch.from_numpy(np.random.default_rng(0).uniform(-100, 300, size=(1, 1, 4, 5, 6))).float()
    objects = CoarseInferer((4, 5, 6), [0, 200])(image, by_threshold)
    assert objects.shape == image.shape
    np.testing.assert_array_equal(objects.numpy(), (image.numpy() > 50).astype(int) + (image.numpy() > 150))


def test_the_inferer_interpolates_scores_and_then_decides():
    image = np.random.default_rng(0).uniform(-1, 1, size=(8, 6, 4)).astype(np.float32)
    objects = CoarseInferer((4, 3, 2), [-1, 1])(torch.from_numpy(image)[None, None], by_threshold_of_tenths)
    small = image.reshape(4, 2, 3, 2, 2, 2).mean((1, 3, 5))
    scores = by_threshold_of_tenths(torch.from_numpy(small)[None, None])[0].numpy()
    full = [zoom(score, 2, order=1, mode="nearest", grid_mode=True) for score in scores]
    np.testing.assert_array_equal(objects[0, 0].numpy(), np.argmax(full, 0))
    assert set(np.unique(objects)) == {0, 1, 2}


@pytest.mark.parametrize("what", [float("nan"), float("inf")])
def test_a_coarse_network_that_gives_no_numbers_is_an_error_and_no_empty_map(what):
    image = MetaTensor(torch.zeros(1, 1, 4, 5, 6), meta={"case": ["case007"]})
    with pytest.raises(SemclError, match=r"(?s)case007: the scores of the coarse network are not .*the whole volume"):
        CoarseInferer((4, 5, 6), [0, 200])(image, lambda inputs: by_threshold(inputs) * what)


def test_a_network_of_some_organs_gives_their_object_numbers():
    image = torch.tensor([0.0, 100, 200]).repeat(2, 2, 1)[None, None]
    objects = CoarseInferer((2, 2, 3), [0, 200], objects=[3, 7])(image, by_threshold)
    assert objects.unique().tolist() == [0, 3, 7]


def by_threshold_of_tenths(image):
    return by_threshold(image * 5)


def test_a_model_loads_its_weights_when_it_is_first_needed(tmp_path):
    trained = one_voxel_network()
    trained.bias.data[2] = 1
    network = one_voxel_network().train()
    model = CoarseModel(network, str(tmp_path / "coarse.pt"), CoarseInferer((2, 2, 2), [0, 1]))
    save_weights(tmp_path / "coarse.pt", trained, {})
    assert (model(torch.zeros(1, 1, 4, 5, 6)) == 2).all()
    assert not network.training
    (tmp_path / "coarse.pt").unlink()
    assert model(torch.zeros(1, 1, 3, 2, 1)).shape == (1, 1, 3, 2, 1)


def test_a_model_without_weights_says_which_stage_makes_them(tmp_path):
    model = CoarseModel(one_voxel_network(), str(tmp_path / "coarse.pt"), CoarseInferer((2, 2, 2), [0, 1]))
    match = r"(?s)weights of an earlier stage are missing.*no \S+/coarse\.pt.*expected: coarse\.pt.*run coarse\.yaml"
    with pytest.raises(SemclError, match=match):
        model(torch.zeros(1, 1, 4, 4, 4))


def test_a_model_refuses_weights_of_another_network(tmp_path):
    save_weights(tmp_path / "coarse.pt", one_voxel_network(objects=5), {})
    model = CoarseModel(one_voxel_network(), str(tmp_path / "coarse.pt"), CoarseInferer((2, 2, 2), [0, 1]))
    match = r"(?s)coarse\.pt does not fit.*2 entries.*first weight.*the same architecture.*coarse\.yaml was run with"
    with pytest.raises(SemclError, match=match):
        model(torch.zeros(1, 1, 4, 4, 4))


def test_a_model_of_the_organs_that_given_maps_lack_needs_such_a_map(tmp_path):
    trained = one_voxel_network()
    trained.bias.data[2] = 1
    save_weights(tmp_path / "coarse.pt", trained, {})
    inferer = CoarseInferer((2, 2, 2), [0, 1], objects=[4, 5])
    model = CoarseModel(one_voxel_network(), str(tmp_path / "coarse.pt"), inferer)
    given = torch.zeros(1, 1, 4, 4, 4, dtype=torch.int16)
    given[..., :2] = 1
    made = model(torch.zeros(1, 1, 4, 4, 4), given)
    assert (made[..., :2] == 1).all()
    assert (made[..., 2:] == 5).all()
    with pytest.raises(SemclError, match=r"(?s)a scan has no map of another tool.*set coarse_command"):
        model(torch.zeros(1, 1, 4, 4, 4))


@pytest.mark.parametrize(
    ("command", "objects", "needed"),
    [(None, None, True), ("cp {image} {out}", None, False), ("cp {image} {out}", [1], True)],
)
def test_the_network_is_loaded_where_a_case_needs_it(command, objects, needed, table, tmp_path):
    save_weights(tmp_path / "coarse.pt", one_voxel_network(), {})
    model = CoarseModel(
        one_voxel_network(), str(tmp_path / "coarse.pt"), CoarseInferer((2, 2, 2), [0, 1], objects=objects)
    )
    case = Case("a", "a", "portal", tmp_path / "a.nii.gz", None)
    tool = ToolMaps(None, "totalsegmentator", table, command, str(tmp_path / "made"))
    LoadCoarse(model, [case], str(tmp_path / "attention"), tool)(Engine(lambda engine, batch: None))
    assert model.loaded == needed
