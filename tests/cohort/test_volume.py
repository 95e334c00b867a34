"""One volume: read in RAS whatever it is stored in, and windowed."""

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from nibabel.affines import apply_affine

from scripts.cohort.volume import read, read_objects, read_stored, spacing
from scripts.errors import SemclError
from tests.conftest import write_nifti

AFFINES = {  # voxel index to RAS mm: a column an axis of the file
    "RAS": [[2, 0, 0, -20], [0, 3, 0, -30], [0, 0, 4, 7], [0, 0, 0, 1]],
    "LPS": [[-2, 0, 0, 20], [0, -3, 0, 30], [0, 0, 4, 7], [0, 0, 0, 1]],
    "RAI": [[2, 0, 0, -20], [0, 3, 0, -30], [0, 0, -4, 50], [0, 0, 0, 1]],
    "PIR": [[0, 0, 4, -20], [-2, 0, 0, 30], [0, -3, 0, 50], [0, 0, 0, 1]],
    "oblique": [[-1.9, 0.4, 0.1, 20], [-0.5, -2.9, 0.2, 30], [0.1, 0.2, 4, 7], [0, 0, 0, 1]],
}


def at_each_voxel(affine, shape):
    """A number (X, Y, Z) that identifies a voxel's position in RAS mm."""
    world = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    return world @ np.array([1.0, 100.0, 10000.0])


def image_like(shape=(4, 5, 6), affine=None):
    return MetaTensor(torch.zeros(1, *shape), affine=torch.eye(4, dtype=torch.float64) if affine is None else affine)


@pytest.mark.parametrize("stored", AFFINES)
def test_voxels_keep_their_position_when_reoriented_to_ras(tmp_path, stored):
    affine = np.array(AFFINES[stored], float)
    path = write_nifti(tmp_path / "a.nii.gz", at_each_voxel(affine, (4, 5, 6)), affine)
    volume = read(path, "a")
    assert nib.aff2axcodes(volume.affine.numpy()) == ("R", "A", "S")
    expected = at_each_voxel(volume.affine.numpy(), volume.shape[1:])
    np.testing.assert_allclose(volume[0].numpy(), expected, atol=0.1)


@pytest.mark.parametrize("stored", AFFINES)
def test_reading_agrees_with_nibabel(tmp_path, stored):
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    path = write_nifti(tmp_path / "a.nii.gz", voxels, np.array(AFFINES[stored], float))
    volume, oracle = read(path, "a"), nib.as_closest_canonical(nib.load(path))
    np.testing.assert_array_equal(volume[0].numpy(), oracle.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(volume.affine.numpy(), oracle.affine)
    np.testing.assert_allclose(spacing(volume), oracle.header.get_zooms(), rtol=1e-6)


def test_read_stored_leaves_the_axes_as_they_are(tmp_path):
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    path = write_nifti(tmp_path / "a.nii.gz", voxels, np.array(AFFINES["PIR"], float))
    volume = read_stored(path, "a")
    np.testing.assert_array_equal(volume[0].numpy(), voxels)
    np.testing.assert_allclose(volume.affine.numpy(), AFFINES["PIR"])


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd"])
def test_other_formats_are_read_in_ras_too(tmp_path, suffix):
    affine = np.array(AFFINES["LPS"], float)
    image = itk.image_from_array(at_each_voxel(affine, (4, 5, 6)).T.astype(np.float32).copy())
    image.SetSpacing([2.0, 3.0, 4.0])
    image.SetOrigin([-20.0, -30.0, 7.0])  # LPS mm
    itk.imwrite(image, str(tmp_path / f"a{suffix}"))
    volume = read(tmp_path / f"a{suffix}", "a")
    assert nib.aff2axcodes(volume.affine.numpy()) == ("R", "A", "S")
    np.testing.assert_allclose(volume[0].numpy(), at_each_voxel(volume.affine.numpy(), (4, 5, 6)), atol=0.1)


def test_a_missing_file_is_named(tmp_path):
    match = r"(?s)case a: a file of the datalist is missing.*found: +no \S+/a\.nii\.gz.*3-D volume.*restore"
    with pytest.raises(SemclError, match=match):
        read(tmp_path / "a.nii.gz", "a")


@pytest.mark.parametrize("content", [b"", b"no volume", b"\x1f\x8b\x08\x00"], ids=["empty", "text", "cut"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    match = r"(?s)case a: a volume cannot be read.*found: +\S+/a\.nii\.gz: \S.*a readable 3-D volume.*export the file"
    with pytest.raises(SemclError, match=match):
        read(tmp_path / "a.nii.gz", "a")


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((4, 5), r"shape \(4, 5\) with 1 channels"),
        ((4, 5, 6, 2), r"shape \(4, 5, 6\) with 2 channels"),
        ((4, 5, 6, 1, 3), r"shape \(4, 5, 6, 1\) with 3 channels"),
    ],
)
def test_a_volume_of_other_than_three_axes_is_refused(tmp_path, shape, found):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.float32))
    with pytest.raises(SemclError, match=rf"(?s)case a: a volume is not 3-D.*{found}.*three axes.*split the file"):
        read(path, "a")


@pytest.mark.parametrize("shape", [(4, 5, 6, 1), (4, 5, 1)])
def test_a_single_channel_or_slice_is_a_volume(tmp_path, shape):
    voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    volume = read(write_nifti(tmp_path / "a.nii.gz", voxels), "a")
    np.testing.assert_array_equal(volume[0].numpy(), voxels.reshape(shape[:3]))


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused(tmp_path, strange):
    voxels = np.zeros((4, 5, 6), np.float32)
    voxels[1, 2, 3] = strange
    path = write_nifti(tmp_path / "a.nii.gz", voxels)
    match = r"(?s)case a: a volume holds voxels that are not finite.*NaN or infinity in \S+.*finite voxels.*air"
    with pytest.raises(SemclError, match=match):
        read(path, "a")


@pytest.mark.parametrize("stored", AFFINES)
def test_a_label_map_of_another_orientation_is_reoriented_to_its_image(table, tmp_path, stored):
    indices = np.random.default_rng(0).choice([0, 2, 5, 9], size=(4, 5, 6)).astype(np.uint8)
    image = nib.Nifti1Image(indices.astype(np.int16), np.array(AFFINES[stored], float))
    nib.save(image, tmp_path / "image.nii.gz")
    turned = nib.as_closest_canonical(image)
    write_nifti(tmp_path / "label.nii.gz", np.asarray(turned.dataobj).astype(np.uint8), turned.affine)
    volume = read(tmp_path / "image.nii.gz", "a")
    objects = read_objects(tmp_path / "label.nii.gz", volume, "a", table)
    np.testing.assert_array_equal(np.array([0, 5, 2, 9])[objects], volume[0].numpy())


def test_shapes_that_differ_are_named(table, tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((4, 6, 5), np.uint8))
    found = r"image 4 x 5 x 6, a\.nii\.gz 4 x 6 x 5 voxels"
    with pytest.raises(SemclError, match=rf"(?s)case a: .* differ in shape.*{found}.*the same shape.*resample \S+"):
        read_objects(path, image_like(), "a", table)


@pytest.mark.parametrize(("row", "column"), [(0, 3), (1, 1), (2, 0)])
def test_affines_that_differ_are_named(table, tmp_path, row, column):
    affine = np.eye(4)
    affine[row, column] += 0.02
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((4, 5, 6), np.uint8), affine)
    match = r"(?s)case a: .* differ in position.*by up to 0\.02 mm.*the same affine within 0\.01 mm.*resample \S+"
    with pytest.raises(SemclError, match=match):
        read_objects(path, image_like(), "a", table)


@pytest.mark.parametrize(
    ("given", "named", "onto"),
    [({}, "image", "the image"), ({"like": "true label map"}, "true label map", "the true label map")],
    ids=["an image", "another"],
)
@pytest.mark.parametrize(
    ("shape", "shift", "differ"), [((4, 5, 7), 0, "shape"), ((4, 5, 6), 3, "position")], ids=["shape", "position"]
)
def test_errors_name_the_volume_a_map_should_match(table, tmp_path, given, named, onto, shape, shift, differ):
    affine = np.eye(4)
    affine[0, 3] = shift
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.uint8), affine)
    with pytest.raises(SemclError, match=rf"case a: {named} and label map differ in {differ}") as raised:
        read_objects(path, image_like(), "a", table, **given)
    assert raised.value.remedy == f"resample {path} onto {onto}, or take the case out of the cohort"


def test_affines_may_differ_by_rounding(table, tmp_path):
    affine = np.eye(4)
    affine[:3, 3] = 0.009
    path = write_nifti(tmp_path / "a.nii.gz", np.full((4, 5, 6), 5, np.uint8), affine)
    assert (read_objects(path, image_like(), "a", table) == 1).all()


def test_an_unknown_label_value_is_named_with_its_case(table, tmp_path):
    path = write_nifti(tmp_path / "label.nii.gz", np.full((4, 5, 6), 7, np.uint8))
    message = rf"case scan7: label values outside the label table\n  found:    7 in {path}\n"
    with pytest.raises(SemclError, match=message):
        read_objects(path, image_like(), "scan7", table)
