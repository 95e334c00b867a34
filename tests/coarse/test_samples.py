"""Samples of the coarse network: whole volumes and their labels on the coarse grid."""

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss

from scripts.coarse.samples import PrepareCoarse, ReadCoarse
from scripts.cohort.case import Case
from scripts.networks.segmentation_loss import IgnoringLoss, OrganLoss
from tests.conftest import write_nifti


def test_a_sample_is_the_whole_volume_on_the_coarse_grid(table, tmp_path):
    rng = np.random.default_rng(0)
    voxels = rng.integers(-200, 300, size=(8, 8, 4)).astype(np.int16)
    indices = rng.choice([0, 2, 5, 9], size=(8, 8, 4)).astype(np.uint8)
    image, label = write_nifti(tmp_path / "a.nii", voxels), write_nifti(tmp_path / "a_label.nii", indices)
    sample = ReadCoarse(table, (4, 4, 2), [-160, 240])({"case": Case("a", "a", "portal", image, label)})
    assert sample["image"].shape == sample["label"].shape == (1, 4, 4, 2)
    means = np.interp(voxels, [-160, 240], [-1, 1]).reshape(4, 2, 4, 2, 2, 2).mean((1, 3, 5))
    np.testing.assert_allclose(sample["image"][0].numpy(), means, atol=1e-5)
    np.testing.assert_array_equal(sample["label"][0].numpy(), table.encode(indices, "a")[1::2, 1::2, 1::2])


def test_a_sample_is_turned_to_ras(table, tmp_path):
    voxels = np.arange(64, dtype=np.int16).reshape(4, 4, 4)
    affine = np.diag([-1.0, -1, 1, 1])
    image = write_nifti(tmp_path / "a.nii", voxels, affine)
    label = write_nifti(tmp_path / "a_label.nii", (voxels > 31).astype(np.uint8) * 5, affine)
    sample = ReadCoarse(table, (4, 4, 4), [0, 63])({"case": Case("a", "a", "portal", image, label)})
    np.testing.assert_allclose(sample["image"][0].numpy(), voxels[::-1, ::-1] / 31.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(sample["label"][0].numpy(), voxels[::-1, ::-1] > 31)


def test_organs_that_the_network_does_not_learn_become_background(table, tmp_path):
    indices = np.array([0, 5, 2, 9, 65535], np.uint16)[:, None, None].repeat(2, 1).repeat(2, 2)
    image = write_nifti(tmp_path / "a.nii", (indices % 99).astype(np.int16))
    case = Case("a", "a", "portal", image, write_nifti(tmp_path / "a_label.nii", indices))
    read = ReadCoarse(table, indices.shape, [0, 63], objects=[1, 3])
    assert read({"case": case})["label"][0, :, 0, 0].tolist() == [0, 1, 0, 2, -1]


@pytest.mark.parametrize(
    ("annotated", "objects", "expected"),
    [(None, None, [1, 1, 1, 1]), (("liver",), None, [1, 1, 0, 0]), (("liver", "left_kidney"), [1, 2], [1, 1, 0])],
)
def test_a_sample_says_which_of_the_networks_organs_are_annotated(table, tmp_path, annotated, objects, expected):
    image = write_nifti(tmp_path / "a.nii", np.zeros((4, 4, 2), np.int16))
    label = write_nifti(tmp_path / "a_label.nii", np.zeros((4, 4, 2), np.uint8))
    case = Case("a", "a", "portal", image, label, annotated=annotated)
    sample = ReadCoarse(table, (4, 4, 2), [0, 63], objects=objects)({"case": case})
    assert sample["annotated"].int().tolist() == expected


def coarse_loss(annotated: list[bool], organ: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of two volumes of background taken for an organ: the loss of the coarse stage, and what it was of all organs."""
    batch = {"image": torch.zeros(2, 1, 4, 4, 2), "label": torch.zeros(2, 1, 4, 4, 2, dtype=torch.int16)}
    batch["label"][:, :, :1] = 1
    batch["annotated"] = torch.tensor([[True] * 4, annotated])
    logits = torch.randn(2, 4, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    logits[1, organ, 1:] = 20
    own = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True)
    image, target = PrepareCoarse()(batch, torch.device("cpu"))
    assert torch.equal(image, batch["image"])
    return OrganLoss(own)(logits, target), IgnoringLoss(own)(logits, batch["label"])


def test_an_organ_that_a_case_does_not_annotate_is_not_learnt_as_background():
    found, before = coarse_loss([True, True, False, True], organ=2)
    assert found < before / 2
    found, before = coarse_loss([True, True, False, True], organ=3)  # which it annotates
    assert found > before / 2


def test_where_all_organs_are_annotated_the_loss_is_what_it_was():
    found, before = coarse_loss([True] * 4, organ=2)
    assert torch.equal(found, before)
