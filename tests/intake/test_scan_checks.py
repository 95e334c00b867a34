"""Checks of one scan: headers, then voxels."""

from pathlib import Path

import numpy as np

from scripts.intake.case_table import CaseRow
from scripts.intake.layouts.scan import Scan
from scripts.intake.scan_checks import annotated_organs, check_voxels, open_scan
from tests.conftest import write_nifti
from tests.faults.inputs import TABLE, ct, organs


def test_a_label_map_of_another_shape_is_not_read_further(tmp_path):
    scan = Scan("a", write_nifti(tmp_path / "a.nii", ct()), write_nifti(tmp_path / "b.nii", organs()[:-1]))
    opened = open_scan(scan, TABLE)
    assert (opened.fits, [item.name for item in opened.findings]) == (False, ["shape_differs"])
    assert check_voxels(opened, TABLE, "CT").findings == []


def test_findings_of_image_and_label_map_are_joined(tmp_path):
    label = organs()
    label[label == 1] = 9
    scan = Scan("a", write_nifti(tmp_path / "a.nii", ct() // 100), write_nifti(tmp_path / "b.nii", label))
    seen = check_voxels(open_scan(scan, TABLE), TABLE, "CT")
    assert [item.name for item in seen.findings] == ["hu_implausible", "label_outside_table"]


def test_masks_are_checked_as_one_label_map(tmp_path):
    masks = []
    for number, name in enumerate(("liver", "kidney_right", "other"), start=1):
        mask = (organs() == number).astype(np.uint8)
        mask[0, 0, 0] = 1  # in all
        masks.append((name, write_nifti(tmp_path / f"{name}.nii", mask)))
    scan = Scan("a", write_nifti(tmp_path / "a.nii", ct()), None, tuple(masks))
    seen = check_voxels(open_scan(scan, TABLE), TABLE, "CT")
    assert [item.name for item in seen.findings] == ["masks_overlap"]
    assert annotated_organs(scan, TABLE) == ("liver", "right_kidney")


def test_annotated_organs_are_those_stated_or_none_for_all():
    row = CaseRow("a", "a", annotated=("left_kidney", "liver"))
    assert annotated_organs(Scan("a", Path("a"), Path("b"), row=row), TABLE) == ("liver", "left_kidney")
    assert annotated_organs(Scan("a", Path("a"), Path("b")), TABLE) is None
    assert annotated_organs(Scan("a", Path("a"), row=row), TABLE) is None
