"""Folders of images and label maps, paired by name."""

import pytest

from scripts.intake.layouts import find_layout
from scripts.intake.layouts.folders import entries, match
from tests.conftest import write_nifti
from tests.faults.inputs import ct, organs, write_dicom


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (["a", "b"], ["b", "a"], {"a": ("a", "a"), "b": ("b", "b")}),
        (["x_0000", "y_0000"], ["x", "y"], {"x_0000": ("x", "x"), "y_0000": ("y", "y")}),
        (["x_0000", "y_0000"], ["x"], {"x_0000": ("x", "x"), "y_0000": ("y", None)}),
        (["x_0000", "x_0001"], ["x"], {"x_0000": ("x", "x"), "x_0001": (None, None)}),
        (["am_1_0000", "am_2_0000"], None, {"am_1_0000": ("am_1", None), "am_2_0000": ("am_2", None)}),
        (["amos_0001", "amos_0004"], None, {"amos_0001": ("amos_0001", None), "amos_0004": ("amos_0004", None)}),
        (["am_0000", "am_0001"], ["am_0001", "am_0000"], {name: (name, name) for name in ("am_0000", "am_0001")}),
        (["img0001", "img0002"], ["label0002"], {"img0001": ("img0001", None), "img0002": ("img0002", "label0002")}),
        (["s1", "s10"], ["s10"], {"s1": ("s1", None), "s10": ("s10", "s10")}),
    ],
)  # fmt: skip
def test_images_are_paired_with_label_maps_by_name(images, labels, expected):
    assert match(images, labels) == expected


def test_the_labels_of_a_data_set_are_found_beside_its_images(tmp_path):
    for names in (("imagesTr", "labelsTr"), ("images", "labels"), ("img", "label")):
        root = tmp_path / names[0]
        image = write_nifti(root / names[0] / "a.nii.gz", ct())
        label = write_nifti(root / names[1] / "a.nii.gz", organs())
        (scan,), findings = find_layout(root, None)[1]
        assert (scan.case, scan.image, scan.label, findings) == ("a", image, label, [])


def test_accents_may_be_composed_in_one_of_two_names():
    assert match(["Mu\u0308ller"], ["M\u00fcller"]) == {"Mu\u0308ller": ("Mu\u0308ller", "M\u00fcller")}


def test_volumes_in_deeper_folders_and_among_slices_are_named(tmp_path):
    write_dicom(tmp_path / "pat1" / "portal", ct()[..., :2])
    write_nifti(tmp_path / "pat1" / "portal" / "resampled.nii.gz", ct())
    write_nifti(tmp_path / "site" / "pat2" / "deep.nii.gz", ct())
    scans, findings = find_layout(tmp_path, None)[1]
    assert [scan.case for scan in scans] == ["pat1_portal"]
    assert {(one.case, one.name) for one in findings} == {("pat1_portal", "not_read"), ("site_pat2", "not_read")}
    assert all(file in one.about for one in findings for file in one.about if str(file) in one.found)
    assert "resampled.nii.gz in" in findings[0].found


def test_links_that_lead_in_a_circle_are_followed_once(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", ct())
    write_nifti(tmp_path / "batch" / "images" / "b.nii.gz", ct())
    for name in ("latest", "other"):
        (tmp_path / "batch" / name).symlink_to(".")
    (tmp_path / "images" / "back").parent.mkdir()
    _, findings = find_layout(tmp_path, None)[1]
    assert [(one.case, one.name) for one in findings] == [("batch_images", "not_read")]


def test_a_folder_of_images_needs_no_labels(tmp_path):
    write_nifti(tmp_path / "images/a.nii.gz", ct())
    write_nifti(tmp_path / "labels/a.nii.gz", organs())
    (scan,), _ = find_layout(tmp_path / "images", None)[1]
    assert not scan.labelled


def test_dicom_folders_are_named_after_their_path(tmp_path):
    write_dicom(tmp_path / "p1" / "portal", ct()[..., :2])
    write_dicom(tmp_path / "p1" / "native", ct()[..., :2])
    write_dicom(tmp_path / "p2", ct()[..., :2])
    assert list(entries(tmp_path)) == ["p1_native", "p1_portal", "p2"]
    assert entries(tmp_path / "p2") == {"p2": [tmp_path / "p2"]}
