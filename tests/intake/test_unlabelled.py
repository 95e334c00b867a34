"""Scans without label maps: from a folder of their own, or beside labelled ones; learnt from and never tested."""

import pytest

from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.intake.prepare import prepare_cohort
from tests.conftest import write_nifti
from tests.intake.test_prepare import ct, folders, write_cases

__all__ = ["folders"]  # a fixture


def test_scans_of_a_folder_of_their_own_are_learnt_from_and_never_tested(folders, table, tmp_path):
    images, labels, out = folders
    alone = {case.id: case.fold for case in prepare_cohort(images, labels, table, tmp_path / "alone", folds=2)}
    for case in "uv":
        write_nifti(tmp_path / f"more/{case}.nii.gz", ct(ord(case)))
    made = prepare_cohort(images, labels, table, out, folds=2, unlabelled=tmp_path / "more")
    assert {case.id: case.fold for case in made if case.label} == alone
    assert {case.id for case in datalist.load(out, "unlabelled")} == {"u", "v"}
    assert {case.id for case in datalist.load(out, "testing")} == {case for case, fold in alone.items() if fold is None}


def test_images_without_a_label_map_are_learnt_from_where_their_folder_is_named_again(folders, table):
    images, labels, out = folders
    for case in "ab":
        (labels / f"{case}.nii.gz").unlink()
    made = prepare_cohort(images, labels, table, out, folds=2, unlabelled=images)
    assert [case.id for case in made if case.label is None and case.fold is not None] == ["a", "b"]


def test_a_case_of_both_folders_is_an_error_unless_it_is_the_same_file(folders, table, tmp_path):
    images, labels, out = folders
    write_nifti(tmp_path / "more/a.nii.gz", ct(1))
    with pytest.raises(SemclError, match=r"(?s)case a: two files of one case.*images/a\.nii\.gz and .*more/a\.nii\.gz"):
        prepare_cohort(images, labels, table, out, unlabelled=tmp_path / "more")


def test_a_scan_without_labels_of_a_tested_patient_is_left_out(folders, table, tmp_path):
    images, labels, out = folders
    for case in "uv":
        write_nifti(tmp_path / f"more/{case}.nii.gz", ct(ord(case)))
    owners = dict(zip("abcdef", "abcdef", strict=True)) | {"u": "a", "v": "b"}
    sides = {"a": "test", "b": "1", "c": "0", "d": "1", "e": "0", "f": "test"}
    rows = [(case, owner, "portal", sides.get(case, "")) for case, owner in owners.items()]
    listed = write_cases(tmp_path / "cases.csv", rows, ("case", "patient", "phase", "fold"))
    made = prepare_cohort(images, labels, table, out, listed, unlabelled=tmp_path / "more")
    assert {case.id: case.fold for case in made} == {"a": None, "b": 1, "c": 0, "d": 1, "e": 0, "f": None, "v": 1}


def test_scans_to_segment_are_tested_beside_scans_to_learn_from(folders, table):
    images, _, out = folders
    for case in "de":
        (out.parent / "more").mkdir(exist_ok=True)
        (images / f"{case}.nii.gz").rename(out.parent / f"more/{case}.nii.gz")
    made = prepare_cohort(images, None, table, out, folds=2, unlabelled=out.parent / "more")
    assert {case.id: case.fold for case in made} == dict.fromkeys("abcf") | {"d": 0, "e": 1}
