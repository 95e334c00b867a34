"""Headers: shape and geometry without voxels."""

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort.header import Header, read_header
from scripts.cohort.volume_errors import VolumeError
from tests.conftest import write_nifti
from tests.faults.inputs import affine, ct, write_dicom, write_itk


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_formats_agree_on_shape_and_affine(suffix, tmp_path):
    voxels = ct(shape=(4, 5, 6))
    read = read_header(write_itk(tmp_path / f"a{suffix}", voxels, (1.0, 2.0, 3.0)))
    place = np.diag([-1.0, -2.0, 3.0, 1.0])  # LPS as RAS
    same = read_header(write_nifti(tmp_path / "a.nii.gz", voxels, place))
    assert read.shape == same.shape == (4, 5, 6)
    np.testing.assert_allclose(read.affine, same.affine)
    np.testing.assert_allclose(read.sizes, [1, 2, 3])


def test_a_canonical_header_is_that_of_nibabels_canonical_image(tmp_path):
    place = np.array([[0, -2.0, 0, 7], [0, 0, 3.0, 1], [1.0, 0, 0, -4], [0, 0, 0, 1]])
    path = write_nifti(tmp_path / "a.nii", ct(shape=(4, 5, 6)), place)
    canonical, expected = read_header(path).canonical(), nib.as_closest_canonical(nib.load(path))
    assert canonical.shape == expected.shape
    np.testing.assert_allclose(canonical.affine, expected.affine)


def test_disagreement_of_qform_and_sform_is_measured(tmp_path):
    image = nib.Nifti1Image(ct(), affine())
    image.set_qform(affine(m03=5), 1)
    nib.save(image, tmp_path / "a.nii")
    header = read_header(tmp_path / "a.nii")
    assert (header.forms_apart, header.oriented) == (5, True)


def test_a_dicom_folder_has_its_series(tmp_path):
    write_dicom(tmp_path / "a", ct()[..., :3])
    header = read_header(tmp_path / "a")
    assert (len(header.series), header.shape[2]) == (1, 3)


def test_complex_voxels_and_unknown_files_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="complex"):
        read_header(write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2), np.complex64)))
    (tmp_path / "a.nrrd").write_text("not a volume")
    with pytest.raises(ValueError, match="no reader knows this file"):
        read_header(tmp_path / "a.nrrd")


def test_directions_are_unit_vectors():
    header = Header((2, 2, 2), np.diag([-2.0, 3.0, 4.0, 1.0]))
    np.testing.assert_array_equal(header.directions, np.diag([-1, 1, 1]))
