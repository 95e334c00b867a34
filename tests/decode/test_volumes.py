"""Inference's way in and out."""

import nibabel as nib
import numpy as np
import torch

from scripts.cohort.datalist import Case
from scripts.decode.volumes import PrepareVolume, ReadVolume, WriteLabelMap
from tests.conftest import write_nifti

STORED = np.array([[0, -2.0, 0, 30], [-1.5, 0, 0, 12], [0, 0, 3.0, -7], [0, 0, 0, 1]])  # axes P, L, S


def test_a_prediction_lies_where_its_image_lies(tmp_path, table):
    image = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    label = np.random.default_rng(1).choice([0, 2, 5, 9], size=(6, 5, 4)).astype(np.uint8)
    path = write_nifti(tmp_path / "images" / "a.nii.gz", image, STORED)
    write_nifti(tmp_path / "attention" / "a.nii.gz", label, STORED)
    sample = ReadVolume(table, str(tmp_path / "attention"))({"case": Case("a", "a", "portal", path)})
    sample["pred"] = sample["attention"]
    WriteLabelMap(table, str(tmp_path / "out"))(sample)
    written = nib.load(tmp_path / "out" / "a.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), label)
    assert np.allclose(written.affine, STORED)


def test_without_an_attention_map_there_is_none_to_pass_on(tmp_path, table):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((6, 5, 4), np.float32))
    sample = ReadVolume(table, str(tmp_path / "attention"))({"case": Case("a", "a", "portal", path)})
    assert "attention" not in sample
    image, target, _, given = PrepareVolume()({"image": torch.zeros(1, 1, 6, 5, 4)}, torch.device("cpu"))
    assert image.shape == (1, 1, 6, 5, 4)
    assert (target, given) == (None, {})
