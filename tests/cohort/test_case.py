"""Cases, and what must hold of the cases of a cohort."""

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort.case import (
    Case,
    check_split,
    digest,
    folds,
    input_files,
    missing_files,
    name_errors,
    sides,
)
from scripts.errors import SemclError


def test_folds_are_those_of_the_training_cases_in_order():
    one = Case("a", "p", "portal", Path("a.nii"))
    assert folds([replace(one, fold=fold) for fold in (2, None, 0, 2, 1)]) == [0, 1, 2]


@pytest.mark.parametrize("change", [{"id": "z"}, {"patient": "z"}, {"phase": "z"}, {"fold": 1}, {"fold": None}])
def test_the_digest_changes_with_cases_patients_phases_and_folds(change):
    cases = [Case("a", "p1", "portal", Path("a.nii"), fold=0), Case("b", "p2", "portal", Path("b.nii"), fold=0)]
    assert digest([cases[0], replace(cases[1], **change)]) != digest(cases)
    assert digest(cases[:1]) != digest(cases)


def test_the_digest_ignores_order_and_paths():
    cases = [Case("a", "p1", "portal", Path("a.nii"), fold=0), Case("b", "p2", "portal", Path("b.nii"))]
    moved = [replace(case, image=Path("far") / case.image) for case in reversed(cases)]
    assert digest(moved) == digest(cases)


def case(name, patient="p", fold=None, **more):
    return Case(name, patient, "portal", Path(f"{name}.nii"), fold=fold, **more)


def test_patients_in_several_folds_are_listed():
    cases = [case("a", "p", 0), case("b", "p"), case("c", "q", 1), case("d", "q", 1)]
    assert sides(cases) == {"p": ["0", "None"]}
    with pytest.raises(SemclError, match="patient p in folds"):
        check_split(cases)
    check_split(cases[1:])


def test_a_case_listed_twice_is_named():
    with pytest.raises(SemclError, match="case a: a case is listed twice"):
        check_split([case("a"), case("b"), case("a")])


def test_missing_files_and_label_maps_are_errors(tmp_path):
    (tmp_path / "a.nii").touch()
    one = replace(case("a"), image=tmp_path / "a.nii")
    assert missing_files(one, need_label=False) == []
    assert [error.problem for error in missing_files(one, need_label=True)] == ["an image without a label map"]
    listed = replace(one, label=tmp_path / "b.nii")
    assert [error.found for error in missing_files(listed, need_label=True)] == [f"no {tmp_path / 'b.nii'}"]
    assert input_files([one, listed]) == [one.image, one.image, listed.label]


def test_each_invalid_name_is_an_error():
    cases = [case("a"), case("A"), case("b/c"), replace(case("d", "=1"), phase="-")]
    assert [error.case for error in name_errors(cases)] == [None, "d", None, "A"]
