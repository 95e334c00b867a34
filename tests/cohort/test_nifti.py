"""NIfTI files: checked to the end of their compressed voxels."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort import nifti
from scripts.cohort.nifti import is_nifti, read_nifti
from scripts.cohort.volume_errors import VolumeError
from tests.conftest import write_nifti
from tests.faults.inputs import ct


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_voxels_are_those_of_nibabel(suffix, tmp_path):
    path = write_nifti(tmp_path / f"a{suffix}", ct())
    assert is_nifti(path)
    image = read_nifti(path)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.asanyarray(nib.load(path).dataobj))


def test_a_wrong_checksum_is_refused(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", ct())
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(VolumeError) as raised:
        read_nifti(path)
    assert raised.value.kind == "damaged_gzip"


@pytest.mark.parametrize(("more", "refused"), [(10, False), (1 << 21, True)])
def test_only_padding_may_follow_the_voxels(more, refused, tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", ct())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(more)))
    if refused:
        with pytest.raises(VolumeError, match="more voxels than the header states"):
            read_nifti(path)
    else:
        assert read_nifti(path).shape == ct().shape


def test_colours_are_refused(tmp_path):
    voxels = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(VolumeError) as raised:
        read_nifti(tmp_path / "a.nii")
    assert raised.value.kind == "voxel_type"


def test_what_the_fast_reader_cannot_read_is_read_by_the_standard_library(tmp_path, monkeypatch):
    path, tried = write_nifti(tmp_path / "a.nii.gz", ct()), []

    def fails(path):
        tried.append(path)
        raise ValueError("no idea")

    assert nifti.fast_open.__module__ == "isal.igzip"  # where the development environment has it
    whole = np.asanyarray(read_nifti(path).dataobj)
    monkeypatch.setattr(nifti, "fast_open", fails)
    np.testing.assert_array_equal(np.asanyarray(read_nifti(path).dataobj), whole)
    assert tried == [path]
