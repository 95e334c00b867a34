"""Checks of voxels: intensities of an image, organs of a label map."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.intake.voxels import inspect_image, inspect_label, inspect_objects
from tests.conftest import write_nifti
from tests.faults.inputs import TABLE, ct, organs


def names(seen):
    return [item.name for item in seen.findings]


def test_a_ct_has_digest_and_spread(tmp_path):
    seen = inspect_image(write_nifti(tmp_path / "a.nii", ct()), "a", "CT")
    same = inspect_image(write_nifti(tmp_path / "b.nii", ct()[::-1], np.diag([-1.0, 1, 1, 1])), "b", "CT")
    assert (names(seen), seen.digest) == ([], same.digest)  # in RAS they are equal
    assert seen.spread == pytest.approx(1960, abs=20)


@pytest.mark.parametrize(
    ("voxels", "modality", "found"),
    [
        (np.full((3, 3, 3), np.nan, np.float32), "CT", ["not_finite"]),
        (np.full((3, 3, 3), 7, np.int16), "CT", ["constant_image"]),
        (ct() // 30, "CT", ["hu_implausible"]),
        (ct() // 30, "MR", []),
    ],
)
def test_implausible_intensities_are_found(voxels, modality, found, tmp_path):
    assert names(inspect_image(write_nifti(tmp_path / "a.nii", voxels), "a", modality)) == found


def test_values_of_a_label_map_are_indices_of_the_table(tmp_path):
    path = write_nifti(tmp_path / "a.nii", organs() + 0.5)
    assert names(inspect_label(path, "a", TABLE, None)) == ["label_not_integer"]
    path = write_nifti(tmp_path / "b.nii", organs() * 2)
    assert names(inspect_label(path, "a", TABLE, None)) == ["label_outside_table"]
    assert names(inspect_label(path, "a", None, None)) == []
    assert names(inspect_label(path, "a", replace(TABLE, others="background"), None)) != ["label_outside_table"]


def test_a_label_map_of_other_organs_alone_is_empty(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.full((3, 3, 3), 77, np.uint8))
    for others in ("background", "ignore"):
        assert names(inspect_label(path, "a", replace(TABLE, others=others), None)) == ["label_empty"]


def test_absent_small_scattered_and_swapped_organs_are_found():
    objects = organs().astype(np.int16)
    assert names(inspect_objects(objects, np.eye(4), "a", TABLE, None)) == []
    assert names(inspect_objects(objects, np.diag([-1.0, 1, 1, 1]), "a", TABLE, None)) == ["sides_swapped"]
    objects[objects == 2] = 0
    objects[9, 3, 3] = 2
    assert names(inspect_objects(objects, np.eye(4), "a", TABLE, None)) == ["organ_small"]
    objects[9, 3, 3] = 0
    objects[8:11, 1:9:2, 1:7:2] = 2  # bars
    assert names(inspect_objects(objects, np.eye(4), "a", TABLE, ["liver"])) == ["organ_in_pieces"]
    objects[objects == 2] = 0
    assert names(inspect_objects(objects, np.eye(4), "a", TABLE, None)) == ["organ_absent"]
    assert names(inspect_objects(objects, np.eye(4), "a", TABLE, ["liver"])) == []


def test_organs_cut_off_by_the_border_have_no_size():
    objects = organs().astype(np.int16)
    objects[0, 2:5, 2:5] = 3
    seen = inspect_objects(objects, np.diag([1.0, 1, 2, 1]), "a", TABLE, None)
    assert seen.sizes == {"liver": 96.0, "right_kidney": 54.0}
