"""Label maps of other tools on a scan's voxels."""

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort.volume import read
from scripts.errors import SemclError
from scripts.intake.tool_layout import map_of
from scripts.intake.tool_maps import read_map
from scripts.intake.tool_names import read_numbers
from tests.conftest import write_nifti

AFFINE = np.diag([2.0, 2, 2, 1])
TOTAL = {"liver": 5, "right_kidney": 2, "left_kidney": 3}  # TotalSegmentator's numbers
NAMES = {"liver": "liver", "right_kidney": "kidney_right", "left_kidney": "kidney_left"}


@pytest.fixture
def truth():
    """Where organs are (X, Y, Z in RAS): the right kidney on the patient's right, at large x."""
    found = {name: np.zeros((24, 20, 16), bool) for name in TOTAL}
    found["liver"][14:21, 10:16, 8:14] = True
    found["right_kidney"][15:20, 3:8, 2:7] = True
    found["left_kidney"][4:9, 3:8, 2:7] = True
    return found


@pytest.fixture
def scan(tmp_path):
    image = write_nifti(tmp_path / "scans" / "a.nii.gz", np.zeros((24, 20, 16), np.int16), AFFINE)
    return read(image, "a")


def stored(truth, axes="RAS", zoom=1):
    """A map of TotalSegmentator's numbers with other axes, or voxels of another size."""
    label = np.zeros((24, 20, 16), np.uint8)
    for name, inside in truth.items():
        label[inside] = TOTAL[name]
    label[0, 0, 0] = 51  # a heart that the table has not
    label = label.repeat(zoom, 0).repeat(zoom, 1).repeat(zoom, 2)
    affine = AFFINE.copy()
    affine[:3] /= zoom
    affine[:3, 3] = -(zoom - 1) / zoom  # the same edges
    affine[3, 3] = 1
    volume = nib.Nifti1Image(label, affine)
    wanted = nib.orientations.axcodes2ornt(axes)
    return volume.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(volume.affine), wanted))


@pytest.mark.parametrize(("axes", "zoom"), [("RAS", 1), ("LPS", 1), ("ASL", 1), ("RAS", 2), ("PIR", 2)])
def test_a_map_of_another_orientation_and_grid(axes, zoom, truth, scan, table, tmp_path):
    nib.save(stored(truth, axes, zoom), tmp_path / "a.nii.gz")
    made = read_map(scan, map_of(tmp_path, "a"), read_numbers("totalsegmentator"), table)
    for number, name in enumerate(table.names, start=1):
        assert np.array_equal(made.objects == number, truth[name]), name
    assert made.unused == ["heart"]
    assert made.findings == []


@pytest.mark.parametrize("inner", ["", "segmentations"])
def test_a_folder_of_masks(inner, truth, scan, table, tmp_path):
    for name, inside in truth.items():
        write_nifti(tmp_path / "maps" / "a" / inner / f"{NAMES[name]}.nii.gz", inside.astype(np.uint8), AFFINE)
    write_nifti(tmp_path / "maps" / "a" / inner / "heart.nii.gz", np.zeros((24, 20, 16), np.uint8), AFFINE)
    made = read_map(scan, map_of(tmp_path / "maps", "a"), {}, table)
    for number, name in enumerate(table.names, start=1):
        assert np.array_equal(made.objects == number, truth[name]), name
    assert made.unused == ["heart"]


def test_swapped_sides_are_found(truth, scan, table, tmp_path):
    truth["left_kidney"], truth["right_kidney"] = truth["right_kidney"], truth["left_kidney"]
    nib.save(stored(truth), tmp_path / "a.nii.gz")
    made = read_map(scan, tmp_path / "a.nii.gz", read_numbers("totalsegmentator"), table)
    assert [item.name for item in made.findings] == ["sides_swapped"]


def test_an_organ_that_is_empty_is_found(truth, scan, table, tmp_path):
    del truth["liver"]
    nib.save(stored(truth), tmp_path / "a.nii.gz")
    made = read_map(scan, tmp_path / "a.nii.gz", read_numbers("totalsegmentator"), table)
    assert [(item.name, item.found) for item in made.findings] == [("organ_absent", "liver")]


def test_a_map_that_lies_elsewhere_is_refused(truth, scan, table, tmp_path):
    volume = stored(truth)
    volume.affine[0, 3] += 40
    nib.save(nib.Nifti1Image(np.asarray(volume.dataobj), volume.affine), tmp_path / "a.nii.gz")
    with pytest.raises(SemclError, match=r"(?s)case a: the map of another tool lies elsewhere.*% of the scan"):
        read_map(scan, tmp_path / "a.nii.gz", read_numbers("totalsegmentator"), table)


def test_a_case_without_a_map(tmp_path):
    (tmp_path / "ab.nii.gz").touch()
    (tmp_path / "a").mkdir()
    assert map_of(tmp_path, "a") is None


def test_masks_and_numbers_of_other_names_alone_are_said_or_refused(truth, scan, table, tmp_path, capsys):
    for name, of in {"Leber": "liver", "Niere": "left_kidney"}.items():
        write_nifti(tmp_path / "a" / f"{name}.nii.gz", truth[of].astype(np.uint8), AFFINE)
    assert not read_map(scan, tmp_path / "a", {}, table).objects.any()
    assert "case a: no mask in" in capsys.readouterr().err
    nib.save(stored(truth), tmp_path / "b.nii.gz")
    message = r"(?s)case a: nothing in the map of another tool is an organ.*Leber of .*set tool_names"
    with pytest.raises(SemclError, match=message):
        read_map(scan, tmp_path / "b.nii.gz", {5: "Leber"}, table)
