"""Findings from the headers of files."""

import numpy as np
import pytest

from scripts.cohort.header import Header
from scripts.intake.header_checks import compare, open_header, plain
from tests.conftest import write_nifti
from tests.faults.inputs import affine, ct, turned, write_dicom


def names(path, **more):
    header, findings = open_header(path, "a", "image", **more)
    return header is not None, [item.name for item in findings]


def test_an_unusable_file_has_no_header(tmp_path):
    assert names(tmp_path / "a.nii") == (False, ["missing_file"])
    (tmp_path / "a.nii").touch()
    assert names(tmp_path / "a.nii") == (False, ["zero_bytes"])
    assert names(write_nifti(tmp_path / "b.nii", ct(shape=(4, 4)))) == (False, ["not_3d"])
    assert names(write_nifti(tmp_path / "d.nii", ct(shape=(4, 4, 4)).reshape(4, 4, 4, 1, 1))) == (False, ["not_3d"])
    path = write_nifti(tmp_path / "c.nii", ct(shape=(4, 4, 4)))
    assert names(path, most=63) == (False, ["too_large"])
    assert names(path, most=64) == (True, [])


def test_an_empty_slice_is_not_left_out_of_a_series(tmp_path):
    write_dicom(tmp_path / "a", ct()[..., :3])
    (tmp_path / "a" / ".DS_Store").touch()
    (tmp_path / "a" / "VERSION").touch()
    assert names(tmp_path / "a") == (True, [])
    for file in (tmp_path / "a").glob("*.dcm"):
        file.rename(file.with_suffix(""))
    assert names(tmp_path / "a") == (True, [])
    (tmp_path / "a" / "s104").touch()
    assert names(tmp_path / "a") == (False, ["zero_bytes"])


@pytest.mark.parametrize(
    ("place", "found"),
    [(affine(), []), (turned(0.5), []), (turned(5), ["oblique"]), (affine(m01=0.3), ["sheared"])],
    ids=["straight", "nearly", "oblique", "sheared"],
)
def test_the_axes_are_judged(place, found, tmp_path):
    assert names(write_nifti(tmp_path / "a.nii", ct(), place)) == (True, found)


@pytest.mark.parametrize(
    ("shape", "place", "found"),
    [
        ((4, 5, 6), affine(), None),
        ((4, 5, 7), affine(), "shape_differs"),
        ((4, 5, 6), affine(1, 1, 2), "spacing_differs"),
        ((4, 5, 6), turned(3), "direction_differs"),
        ((4, 5, 6), affine(m03=1), "origin_differs"),
    ],
)
def test_the_geometry_of_a_label_map_is_compared(shape, place, found, tmp_path):
    image, label = Header((4, 5, 6), affine()), Header(shape, np.asarray(place))
    finding = compare(image, label, "a", tmp_path / "a.nii")
    assert (finding and finding.name) == found


def test_messages_of_readers_name_no_path(tmp_path):
    path = tmp_path / "mueller" / "scan.nii"
    assert (
        plain(ValueError(f"{path} in {path.parent}: bad scan.nii\nmore"), path) == "the file in the file: bad the file"
    )
