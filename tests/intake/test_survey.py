"""The survey: all checks of a cohort together; each finding has an input in tests/faults."""

import numpy as np
import pytest

from scripts.errors import SemclError
from scripts.intake.survey import Sources, refuse_organs, survey
from tests.conftest import write_nifti
from tests.faults.inputs import TABLE, Folder, ct, organs


def test_a_sound_cohort_has_cases_and_no_findings(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a", "b")
    found = survey(Sources(folder.images, folder.labels, workers=1), TABLE)
    assert ([case.id for case in found.cases], found.findings) == (["a", "b"], [])
    assert found.usable() == found.cases


def test_unusable_cases_are_left_out_and_findings_are_in_the_order_of_cases(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a", "b", "c")
    (folder.images / "b.nii.gz").write_bytes(b"")
    folder.label("a", np.zeros_like(organs()))
    found = survey(Sources(folder.images, folder.labels), TABLE)
    assert [(item.case, item.name) for item in found.findings] == [("a", "label_empty"), ("b", "zero_bytes")]
    assert [case.id for case in found.usable()] == ["a", "c"]


def test_an_unknown_modality_is_refused(tmp_path):
    with pytest.raises(SemclError, match=r"modality has no such value[^$]*one of CT, MR, RGB"):
        survey(Sources(tmp_path, modality="PET"), TABLE)


def test_a_table_of_cases_beside_a_csv_of_paths_is_refused(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a")
    (tmp_path / "paths.csv").write_text("case,image,patient,label,fold\na,images/a.nii.gz,p,labels/a.nii.gz,test\n")
    (tmp_path / "cases.csv").write_text("case,patient,phase\na,p,ct\n")
    with pytest.raises(SemclError, match=r"(?s)beside a CSV of paths.*rows of 1 scan .*leave --cases out"):
        survey(Sources(tmp_path / "paths.csv", cases=tmp_path / "cases.csv"), TABLE)


def test_a_table_of_cases_may_list_scans_of_a_csv_to_learn_from_without_labels(tmp_path):
    folder = Folder(tmp_path)
    folder.pair("a")
    more = folder.image("b").rename(tmp_path / "b.nii.gz")
    (tmp_path / "more.csv").write_text(f"case,image,patient\nb,{more.name},q\n")
    (tmp_path / "cases.csv").write_text("case,patient,phase\na,p,ct\nb,q,ct\n")
    given = Sources(
        folder.images, folder.labels, cases=tmp_path / "cases.csv", unlabelled=tmp_path / "more.csv", workers=1
    )
    assert [case.patient for case in survey(given, TABLE).cases] == ["p", "q"]


def test_folders_of_scans_to_learn_from_are_not_called_unread(tmp_path):
    folder = Folder(tmp_path)
    folder.image("a")
    write_nifti(folder.images / "ts" / "s1" / "ct.nii.gz", ct())
    write_nifti(folder.images / "ts" / "s1" / "segmentations" / "liver.nii.gz", organs())
    found = survey(Sources(folder.images, unlabelled=folder.images / "ts", workers=1), None)
    assert [item.name for item in found.findings if item.name == "not_read"] == []


def test_accents_of_a_scan_may_be_composed_in_one_place_and_not_in_another(tmp_path):
    folder = Folder(tmp_path)
    folder.image("Mu\u0308ller")
    folder.label("M\u00fcller")
    (tmp_path / "cases.csv").write_text("case,patient,phase\nM\u00fcller,p,ct\n", encoding="utf-8")
    found = survey(Sources(folder.images, folder.labels, cases=tmp_path / "cases.csv", workers=1), TABLE)
    assert ([case.patient for case in found.cases], found.findings) == (["p"], [])
    assert found.cases[0].label


def test_annotated_organs_must_be_in_the_table():
    refuse_organs({"liver"}, TABLE)
    refuse_organs({"anything"}, None)
    with pytest.raises(SemclError, match="found:    lever"):
        refuse_organs({"liver", "lever"}, TABLE)
