"""Samples of the coarse network: whole volumes and their labels on the coarse grid."""

import numpy as np

from scripts.coarse.samples import ReadCoarse
from scripts.cohort.case import Case
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
