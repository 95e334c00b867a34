"""Attention maps lie on the voxels of the image as it is stored, with the cohort's own indices."""

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine

from scripts.cohort.attention import attention_path, read_attention, require_attention, write_label_map
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.cohort.volume import read, read_objects
from scripts.errors import SemclError
from tests.conftest import write_nifti

SHAPE = (4, 5, 6)
AFFINES = {  # voxel index to RAS mm: a column an axis of the file
    "RAS": [[2, 0, 0, -20], [0, 3, 0, -30], [0, 0, 4, 7], [0, 0, 0, 1]],
    "LPS": [[-2, 0, 0, 20], [0, -3, 0, 30], [0, 0, 4, 7], [0, 0, 0, 1]],
    "PIR": [[0, 0, 4, -20], [-2, 0, 0, 30], [0, -3, 0, 50], [0, 0, 0, 1]],
    "oblique": [[-1.9, 0.4, 0.1, 20], [-0.5, -2.9, 0.2, 30], [0.1, 0.2, 4, 7], [0, 0, 0, 1]],
}


def stored_image(folder, stored="RAS"):
    """An image in one of the orientations, as it is read: in RAS."""
    path = write_nifti(folder / "image.nii.gz", np.zeros(SHAPE, np.int16), np.array(AFFINES[stored], float))
    return read(path, "a")


@pytest.mark.parametrize("stored", AFFINES)
def test_objects_keep_their_position_in_the_orientation_of_the_image(table, tmp_path, stored):
    image = stored_image(tmp_path, stored)
    objects = np.random.default_rng(0).integers(0, 4, size=image.shape[1:])
    write_label_map(tmp_path / "map.nii.gz", objects, image, table)
    written = nib.load(tmp_path / "map.nii.gz")
    np.testing.assert_allclose(written.affine, AFFINES[stored], atol=1e-6)
    values = np.asarray(written.dataobj)
    assert values.shape == SHAPE
    to_ras = np.linalg.inv(image.affine.numpy()) @ written.affine
    for voxel in np.ndindex(SHAPE):
        in_ras = tuple(np.round(apply_affine(to_ras, voxel)).astype(int))
        assert values[voxel] == (0, 5, 2, 9)[objects[in_ras]]


@pytest.mark.parametrize("stored", AFFINES)
def test_a_written_map_is_read_as_the_objects_it_was_made_of(table, tmp_path, stored):
    image = stored_image(tmp_path, stored)
    objects = np.random.default_rng(0).integers(0, 4, size=image.shape[1:])
    write_label_map(tmp_path / "map.nii.gz", torch.from_numpy(objects).to(torch.int16), image, table)
    np.testing.assert_array_equal(read_objects(tmp_path / "map.nii.gz", image, "a", table), objects)


def test_the_header_states_affine_and_unit(table, tmp_path):
    write_label_map(tmp_path / "map.nii.gz", np.zeros(SHAPE, int), stored_image(tmp_path, "LPS"), table)
    written = nib.load(tmp_path / "map.nii.gz")
    assert written.header.get_xyzt_units()[0] == "mm"
    for affine, code in (written.get_qform(coded=True), written.get_sform(coded=True)):
        assert code > 0
        np.testing.assert_allclose(affine, AFFINES["LPS"], atol=1e-5)


@pytest.mark.parametrize(
    ("index", "present", "kind"), [(255, 1, np.uint8), (256, 1, np.uint16), (65535, 1, np.uint16), (256, 0, np.uint8)]
)
def test_a_voxel_takes_as_many_bytes_as_the_indices_there_need(tmp_path, index, present, kind):
    table = LabelTable((Organ("liver", index),), ("portal",))
    objects = np.zeros(SHAPE, int)
    objects[1, 2, 3] = present
    write_label_map(tmp_path / "map.nii.gz", objects, stored_image(tmp_path), table)
    written = nib.load(tmp_path / "map.nii.gz")
    assert written.get_data_dtype() == kind
    np.testing.assert_array_equal(np.asarray(written.dataobj), objects * index)


def test_a_map_is_written_into_a_new_folder(table, tmp_path):
    path = attention_path(tmp_path / "new" / "attention", "a")
    write_label_map(path, np.zeros(SHAPE, int), stored_image(tmp_path), table)
    assert [file.name for file in path.parent.iterdir()] == ["a.nii.gz"]


def test_cases_without_an_attention_map_are_counted_and_the_first_named(tmp_path):
    cases = [Case(name, name, "portal", tmp_path / f"{name}.nii") for name in "abc"]
    write_nifti(attention_path(tmp_path, "a"), np.zeros(SHAPE, np.uint8))
    found = rf"2 of 3 cases without a file in {tmp_path}"
    match = rf"(?s)case b: attention maps are missing.*{found}.*<case>\.nii\.gz for each.*run coarse\.yaml first"
    with pytest.raises(SemclError, match=match):
        require_attention(cases, tmp_path)
    for name in "bc":
        write_nifti(attention_path(tmp_path, name), np.zeros(SHAPE, np.uint8))
    require_attention(cases, tmp_path)


def attention_of(folder, table, shape, changed=None):
    """A scan of random voxels, one of them changed after its attention map was written, and the map's path."""
    voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    image = read(write_nifti(folder / "image.nii.gz", voxels), "a")
    write_label_map(folder / "map.nii.gz", np.ones(shape, int), image, table)
    if changed is not None:
        voxels[changed] += 1
    return read(write_nifti(folder / "image.nii.gz", voxels), "a"), folder / "map.nii.gz"


@pytest.mark.parametrize("shape", [SHAPE, (200, 130, 3)])
def test_an_attention_map_is_read_with_the_scan_that_it_was_made_of(table, tmp_path, shape):
    image, path = attention_of(tmp_path, table, shape)
    assert read_attention(path, image, "a", table).eq(1).all()


@pytest.mark.parametrize(("shape", "changed"), [(SHAPE, (3, 0, 5)), ((200, 130, 3), slice(60, 64))])
def test_an_attention_map_of_a_scan_that_was_exported_anew_is_refused(table, tmp_path, shape, changed):
    image, path = attention_of(tmp_path, table, shape, changed)
    match = rf"(?s)case a: an attention map was made of another scan.*{path}.*remove {path}, and run maps\.yaml"
    with pytest.raises(SemclError, match=match):
        read_attention(path, image, "a", table)


def test_an_attention_map_of_another_tool_says_nothing_of_its_scan(table, tmp_path):
    image, _ = attention_of(tmp_path, table, SHAPE)
    path = write_nifti(tmp_path / "tool.nii.gz", np.full(SHAPE, 5, np.uint8))
    assert read_attention(path, image, "a", table).eq(1).all()
