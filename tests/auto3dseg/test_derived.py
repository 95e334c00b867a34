"""Modalities stacked into one file, and label maps of groups of labels."""

import nibabel as nib
import numpy as np
import pytest

from scripts.auto3dseg.derived import group_labels, read_modalities, stack_modalities
from scripts.cohort.case import Case
from scripts.errors import SemclError
from tests.conftest import write_nifti

AFFINE = np.diag([-2.0, 1.0, 3.0, 1.0])  # stored from right to left


def modality(folder, name, value, shape=(3, 4, 2)):
    return write_nifti(folder / f"{name}.nii.gz", np.full(shape, value, np.float32), AFFINE)


def test_modalities_become_channels_on_the_voxels_they_have(tmp_path):
    files = [modality(tmp_path, "t1", 1), modality(tmp_path, "t2", 2)]
    path = stack_modalities(files, tmp_path / "derived" / "one.nii.gz", "one")
    stacked = nib.load(path)
    assert stacked.shape == (3, 4, 2, 2)
    assert np.array_equal(stacked.affine, AFFINE)
    for read in (read_modalities([path], "one", 2), read_modalities(files, "one", 2)):
        assert read.shape == (2, 3, 4, 2)
        assert [channel.unique().tolist() for channel in read] == [[1], [2]]


def test_they_are_stacked_once(tmp_path):
    files = [modality(tmp_path, "t1", 1), modality(tmp_path, "t2", 2)]
    path = stack_modalities(files, tmp_path / "one.nii.gz", "one")
    written = path.stat().st_mtime_ns
    assert stack_modalities(files, path, "one").stat().st_mtime_ns == written


def test_modalities_on_other_voxels_are_refused(tmp_path):
    files = [modality(tmp_path, "t1", 1), modality(tmp_path, "t2", 2, (3, 4, 3))]
    with pytest.raises(SemclError, match=r"case one: modalities .* do not lie on the same voxels\n  found: .*t2"):
        stack_modalities(files, tmp_path / "one.nii.gz", "one")


def test_labels_of_a_group_are_one_class_and_others_background(tmp_path):
    label = write_nifti(tmp_path / "label.nii.gz", np.array([0, 1, 2, 3, 7], np.uint8).reshape(5, 1, 1), AFFINE)
    case = Case("one", "one", "unknown", label, label)
    grouped = nib.load(group_labels(case, [[2, 3], [7]], tmp_path / "grouped.nii.gz"))
    assert np.asarray(grouped.dataobj).ravel().tolist() == [0, 0, 1, 1, 2]
    assert np.array_equal(grouped.affine, AFFINE)
