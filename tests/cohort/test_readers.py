"""Volumes as MONAI reads them, in C order and in RAS."""

import numpy as np
import pytest
import torch
from monai.transforms import LoadImage, Orientation
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from scripts.cohort.readers import c_ordered
from scripts.cohort.volume import read
from tests.conftest import write_nifti
from tests.faults.inputs import ct


@pytest.mark.parametrize("shape", [(5,), (5, 4), (5, 4, 3), (5, 4, 3, 2)])
@pytest.mark.parametrize("kind", ["u1", ">i2", "f8"])
def test_voxels_become_float32_in_c_order(shape, kind):
    voxels = np.asfortranarray(np.random.default_rng(0).integers(0, 200, shape).astype(kind))
    ordered = c_ordered(voxels)
    assert ordered.dtype == np.float32
    assert ordered.flags.c_contiguous
    np.testing.assert_array_equal(ordered, voxels)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_reading_in_ras_equals_monais_reader_and_orientation(codes, tmp_path):
    affine = inv_ornt_aff(axcodes2ornt(codes), ct().shape) @ np.diag([2.0, 3.0, 4.0, 1.0])
    path = write_nifti(tmp_path / "a.nii.gz", ct(), affine)
    found = read(path, "a")
    oracle = Orientation("RAS", labels=None)(LoadImage(image_only=True, ensure_channel_first=True)(path))
    assert torch.equal(found.as_tensor(), oracle.as_tensor())
    np.testing.assert_array_equal(found.affine, oracle.affine)
    np.testing.assert_array_equal(found.meta["original_affine"], oracle.meta["original_affine"])
