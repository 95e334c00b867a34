"""Checks across cases."""

from pathlib import Path

import pytest

from scripts.cohort.case import Case
from scripts.intake.case_table import CaseRow
from scripts.intake.cohort_checks import compare_cases, name_findings, names_differ, partners, patients, split_patients
from scripts.intake.layouts.scan import Scan
from scripts.intake.voxels import Seen
from tests.faults.inputs import TABLE


def case(name: str, patient: str = "p", fold: int | None = None) -> Case:
    return Case(name, patient, "ct", Path(f"{name}.nii"), None, fold)


def test_a_patient_is_from_the_table_else_by_tag_else_the_case():
    rows = [
        (Scan("a", Path("a"), row=CaseRow("a", "ann")), "1"),
        (Scan("b", Path("b")), "1"),
        (Scan("c", Path("c")), "1"),
    ]
    people, findings = patients([*rows, (Scan("d", Path("d")), "")])
    assert people == {"a": "ann", "b": "ann", "c": "ann", "d": "d"}
    assert [(item.case, item.name, item.found) for item in findings] == [
        (case, "patient_by_tag", "patient ann") for case in "bc"
    ]
    assert patients(rows[::-1])[0] == {"a": "ann", "b": "ann", "c": "ann"}
    assert patients(rows[1:])[0] == {"b": "b", "c": "b"}


def test_invalid_and_equal_names_are_found():
    found = name_findings([case("ok"), case("a/b"), case("x", "=1"), case("OK")])
    assert [(item.case, item.name) for item in found] == [("a/b", "bad_name"), ("x", "bad_name"), ("OK", "same_name")]


def test_a_patient_in_two_folds_is_found():
    found = split_patients([case("a", "p", 0), case("b", "p", 1), case("c", "q", 1)])
    assert [item.case for item in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "count"), [('{"liver": 1}', 0), ('{"liver": 9}', 1), ('{"9": "liver"}', 1), ("3", 1)]
)
def test_another_index_in_dataset_json_is_found(labels, count, tmp_path):
    (tmp_path / "dataset.json").write_text(f'{{"labels": {labels}}}')
    assert len(names_differ(tmp_path / "images", TABLE)) == count
    assert names_differ(tmp_path / "images", None) == []


def test_duplicates_outlying_intensities_and_small_organs_are_found():
    seen = {name: Seen(digest=name, spread=100.0, sizes={"liver": 1000.0}) for name in "abcde"}
    seen["d"] = Seen(digest="a", spread=100.0, sizes={"liver": 40.0})
    seen["e"] = Seen(digest="e", spread=5000.0, sizes={"liver": 1000.0})
    found = [(item.case, item.name) for item in compare_cases(seen)]
    assert found == [("d", "duplicate_image"), ("e", "intensity_spread"), ("d", "organ_small")]


def test_stated_partners_are_no_finding():
    assert partners(TABLE) == []
    assert partners(None) == []
