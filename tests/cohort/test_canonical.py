"""Voxels in RAS as plain arrays: those that the stages read through MONAI, without importing it."""

import subprocess
import sys

import itk
import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Orientation

from scripts.cohort.canonical import compact, read_canonical, reoriented
from scripts.cohort.volume import load_stored
from tests.conftest import write_nifti
from tests.faults.inputs import ct, write_dicom

TURNED = np.array([[0, -2.0, 0, 30], [0, 0, 3.0, -4], [-1.5, 0, 0, 7], [0, 0, 0, 1]])  # mm; stored as IRA


def same_as_monai(path, indices=False):
    stages = Orientation(axcodes="RAS", labels=None)(load_stored(path, indices))
    check = read_canonical(path, indices)
    np.testing.assert_array_equal(check.voxels, stages.numpy())
    assert check.voxels.dtype == np.float32
    np.testing.assert_allclose(check.affine, stages.affine, atol=1e-6)


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float64, ">i2"])
@pytest.mark.parametrize("affine", [np.eye(4), TURNED, np.diag([-1, -1, 2, 1])])
def test_nifti_is_read_as_by_the_stages(kind, affine, tmp_path):
    same_as_monai(write_nifti(tmp_path / "a.nii.gz", abs(ct()).astype(kind), affine))


def test_nifti_with_a_slope_and_with_a_fourth_axis_is_read_as_by_the_stages(tmp_path):
    image = nib.Nifti1Image(ct()[..., None].astype(np.int16), TURNED)
    image.header.set_slope_inter(0.37, -11)
    nib.save(image, tmp_path / "a.nii")
    same_as_monai(tmp_path / "a.nii")


def test_a_dicom_series_is_read_as_by_the_stages(tmp_path):
    write_dicom(tmp_path / "series", ct())
    same_as_monai(tmp_path / "series")


@pytest.mark.real
def test_a_real_dicom_series_is_read_as_by_the_stages(real_data):
    same_as_monai(real_data / "ct_dicom" / "series")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".png"])
def test_other_files_are_read_as_by_the_stages(suffix, tmp_path):
    voxels = ct()[0].astype(np.uint8) if suffix == ".png" else ct().astype(np.float32)
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(voxels)), str(tmp_path / f"a{suffix}"))
    same_as_monai(tmp_path / f"a{suffix}", indices=True)


def test_axes_go_back_to_those_of_the_file():
    stored = np.arange(24).reshape(2, 3, 4)
    image = nib.Nifti1Image(stored.astype(np.int16), TURNED)
    canonical = nib.as_closest_canonical(image)
    np.testing.assert_array_equal(reoriented(np.asarray(canonical.dataobj), canonical.affine, TURNED), stored)


@pytest.mark.parametrize(("largest", "kind"), [(0, np.uint8), (255, np.uint8), (256, np.uint16)])
def test_indices_take_no_more_bytes_than_they_need(largest, kind):
    assert compact(np.array([0, largest])).dtype == kind


def test_check_imports_neither_monai_nor_torch(tmp_path):
    """They take seconds: a check of one scan would wait for its imports alone. ITK would import torch."""
    write_nifti(tmp_path / "nifti" / "a.nii.gz", ct())
    write_dicom(tmp_path / "dicom" / "a", ct())
    code = "import sys; from scripts.__main__ import main; main(); print({'monai', 'torch', 'itk'} & set(sys.modules))"
    again = f"sys.argv[-1] = {str(tmp_path / 'dicom')!r}; main(); print({{'monai', 'torch', 'itk'}} & set(sys.modules))"
    command = [sys.executable, "-c", f"{code}; {again}", "check", "--images", str(tmp_path / "nifti")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = [line for line in ended.stdout.splitlines() if line.startswith(("set()", "{"))]
    assert found == ["set()", "{'itk'}"], ended.stdout
