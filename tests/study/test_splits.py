"""Splits: who is trained on and who is tested."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.study.splits import write_splits
from tests.study.made import TABLE, write_cases


def sides(folder: Path) -> tuple[set[str], set[str]]:
    """Patients trained on, and tested, of a split."""
    cases = datalist.load(folder)
    return {case.patient for case in cases if case.fold is not None}, {
        case.patient for case in cases if case.fold is None
    }


@pytest.mark.parametrize("folds", [2, 3, 5, 8])
def test_folds_part_the_labelled_patients(tmp_path, folds):
    cases = write_cases(tmp_path / "cohort")  # 8 with label maps, 2 without
    splits = write_splits(cases, TABLE, tmp_path / "study", folds)
    assert list(splits) == [f"fold {number} of {folds}" for number in range(1, folds + 1)]
    tested = [sides(folder)[1] for folder in splits.values()]
    assert sorted(itertools.chain(*tested)) == sorted({case.patient for case in cases if case.label})
    assert max(map(len, tested)) - min(map(len, tested)) <= 1


@pytest.mark.parametrize("folds", [0, 2, 3])
def test_who_is_tested_is_not_trained_on_and_all_others_are(tmp_path, folds):
    cases = write_cases(tmp_path / "cohort")
    for folder in write_splits(cases, TABLE, tmp_path / "study", folds).values():
        trained, tested = sides(folder)
        assert not trained & tested
        assert trained | tested == {case.patient for case in cases}
        assert {"p6", "p7"} <= trained  # without label maps
        assert all(case.label for case in datalist.load(folder, "testing", need_label=True))
        assert LabelTable.load(folder) == TABLE


def test_all_scans_of_a_patient_are_on_one_side(tmp_path):
    cases = write_cases(tmp_path / "cohort")
    cases = [replace(case, label=None) if case.id == "p3_portal" else case for case in cases]
    for folder in write_splits(cases, TABLE, tmp_path / "study", 3).values():
        tested = [case.id for case in datalist.load(folder) if case.patient == "p3" and case.fold is None]
        trained = [case.id for case in datalist.load(folder) if case.patient == "p3" and case.fold is not None]
        assert (tested, trained) in ((["p3_noncontrast"], []), ([], ["p3_noncontrast", "p3_portal"]))


def test_the_own_split_is_the_cohort_s_but_for_testing_cases_without_label_maps(tmp_path):
    cases = write_cases(tmp_path / "cohort")
    cases = [replace(case, label=None) if case.id == "p8_noncontrast" else case for case in cases]
    folder = write_splits(cases, TABLE, tmp_path / "study", 0)["own"]
    assert {case.id: case.fold for case in datalist.load(folder)} == {
        case.id: case.fold for case in cases if case.id != "p8_noncontrast"
    }


def test_folds_are_the_same_each_time_and_others_lie_beside_them(tmp_path):
    cases = write_cases(tmp_path / "cohort")
    splits = write_splits(cases, TABLE, tmp_path / "study", 3)
    before = {name: (folder / "datalist.json").read_bytes() for name, folder in splits.items()}
    assert set(write_splits(cases[::-1], TABLE, tmp_path / "study", 2)).isdisjoint(splits)
    assert write_splits(cases, TABLE, tmp_path / "study", 3) == splits
    assert {name: (folder / "datalist.json").read_bytes() for name, folder in splits.items()} == before


@pytest.mark.parametrize("folds", [1, 9, -2])
def test_folds_that_cannot_be_are_refused(tmp_path, folds):
    cases = write_cases(tmp_path / "cohort")
    message = rf"(?s)cannot be split so.*--folds {folds}, 8 patients with label maps.*2 or more folds.*set --folds"
    with pytest.raises(SemclError, match=message):
        write_splits(cases, TABLE, tmp_path / "study", folds)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [({"testing": 0}, "to be tested.*no testing case"), ({"labelled": 0}, "to be trained on.*no training case")],
)
def test_a_cohort_without_one_side_is_refused_before_anything_is_written(tmp_path, numbers, message):
    with pytest.raises(SemclError, match=rf"(?s)no case is left {message}.*set --folds, or prepare"):
        write_splits(write_cases(tmp_path / "cohort", **numbers), TABLE, tmp_path / "study", 0)
    assert not (tmp_path / "study").exists()
