"""Layouts: images paired with label maps by their names."""

import pytest

from scripts.errors import SemclError
from scripts.intake.layouts import find_layout
from tests.conftest import write_nifti
from tests.faults.inputs import Folder, ct, organs


def test_a_subject_folder_carries_its_masks(tmp_path):
    write_nifti(tmp_path / "s1/ct.nii.gz", ct())
    mask = write_nifti(tmp_path / "s1/segmentations/liver.nii.gz", organs())
    (scan,), _ = find_layout(tmp_path, None)[1]
    assert (scan.case, scan.label, scan.masks, scan.labelled) == ("s1", None, (("liver", mask),), True)


def test_paths_of_a_csv_are_relative_to_its_folder(tmp_path):
    text = "case,image,label,patient,phase,annotated\none,images/a.nii.gz,,p,portal,liver; spleen\n"
    (scan,), _ = find_layout(Folder(tmp_path).sheet(text, "scans.csv"), None)[1]
    assert (scan.image, scan.label) == (tmp_path / "images/a.nii.gz", None)
    assert (scan.row.patient, scan.row.phase, scan.row.annotated) == ("p", "portal", ("liver", "spleen"))


def test_a_csv_of_paths_needs_its_columns(tmp_path):
    with pytest.raises(SemclError, match=r"(?s)with columns case, file.*columns case, image, patient"):
        find_layout(Folder(tmp_path).sheet("case,file\na,b\n"), None)[1]


@pytest.mark.parametrize("fold", ["-1", "val", "1.0"])
def test_a_fold_is_a_number_or_test(tmp_path, fold):
    text = f"case,image,patient,fold\na,a.nii.gz,p,{fold}\n"
    with pytest.raises(SemclError, match=r"(?s)line 2 of .*fold a number below 1000 or test"):
        find_layout(Folder(tmp_path).sheet(text), None)[1]
