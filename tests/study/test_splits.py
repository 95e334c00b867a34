"""Splits: who is trained on and who is tested, and what a run's datalist names."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort import datalist
from scripts.cohort.case import Case, digest
from scripts.cohort.label_table import LabelTable
from scripts.cohort.lineage import valid_splits
from scripts.errors import SemclError
from scripts.study.labels import Amount, with_labels_of
from scripts.study.splits import split_cases, write_datalist
from tests.study.made import TABLE, write_cases


def sides(cases: list[Case]) -> tuple[set[str], set[str]]:
    """Patients trained on, and tested, of a split."""
    return {case.patient for case in cases if case.fold is not None}, {
        case.patient for case in cases if case.fold is None
    }


@pytest.mark.parametrize("folds", [2, 3, 5, 8])
def test_folds_part_the_labelled_patients(tmp_path: Path, folds: int) -> None:
    cases = write_cases(tmp_path / "cohort")  # 8 with label maps, 2 without
    splits = split_cases(cases, folds)
    assert list(splits) == [f"fold {number} of {folds}" for number in range(1, folds + 1)]
    tested = [sides(members)[1] for members in splits.values()]
    assert sorted(itertools.chain(*tested)) == sorted({case.patient for case in cases if case.label})
    assert max(map(len, tested)) - min(map(len, tested)) <= 1


@pytest.mark.parametrize("folds", [0, 2, 3])
def test_who_is_tested_is_not_trained_on_and_all_others_are(tmp_path: Path, folds: int) -> None:
    cases = write_cases(tmp_path / "cohort")
    for members in split_cases(cases, folds).values():
        trained, tested = sides(members)
        assert not trained & tested
        assert trained | tested == {case.patient for case in cases}
        assert {"p6", "p7"} <= trained  # without label maps
        assert all(case.label for case in members if case.fold is None)


def test_all_scans_of_a_patient_are_on_one_side(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cohort")
    cases = [replace(case, label=None) if case.id == "p3_portal" else case for case in cases]
    for members in split_cases(cases, 3).values():
        tested = [case.id for case in members if case.patient == "p3" and case.fold is None]
        trained = [case.id for case in members if case.patient == "p3" and case.fold is not None]
        assert (tested, trained) in ((["p3_noncontrast"], []), ([], ["p3_noncontrast", "p3_portal"]))


def test_the_own_split_is_the_cohort_s_but_for_testing_cases_without_label_maps(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cohort")
    cases = [replace(case, label=None) if case.id == "p8_noncontrast" else case for case in cases]
    assert split_cases(cases, 0) == {"own": [case for case in cases if case.id != "p8_noncontrast"]}


def test_folds_are_the_same_each_time_whatever_the_order_of_cases(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cohort")
    found, again = split_cases(cases, 3), split_cases(cases[::-1], 3)
    assert {name: sides(members) for name, members in found.items()} == {
        name: sides(members) for name, members in again.items()
    }


@pytest.mark.parametrize("folds", [1, 9, -2])
def test_folds_that_cannot_be_are_refused(tmp_path: Path, folds: int) -> None:
    message = rf"(?s)cannot be split so.*--folds {folds}, 8 patients with label maps.*2 or more folds.*set --folds"
    with pytest.raises(SemclError, match=message):
        split_cases(write_cases(tmp_path / "cohort"), folds)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [({"testing": 0}, "to be tested.*no testing case"), ({"labelled": 0}, "to be trained on.*no training case")],
)
def test_a_cohort_without_one_side_is_refused(tmp_path: Path, numbers: dict[str, int], message: str) -> None:
    with pytest.raises(SemclError, match=rf"(?s)no case is left {message}.*set --folds, or prepare"):
        split_cases(write_cases(tmp_path / "cohort", **numbers), 0)


# datalists


def test_a_run_s_datalist_names_the_drawn_label_maps_alone(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cohort")
    members = with_labels_of(cases, Amount(patients=2), 0, TABLE.names, 2)
    write_datalist(members, tmp_path / "run", TABLE, cases)
    drawn = {case.id for case in members if case.fold is not None and case.label is not None}
    text = (tmp_path / "run" / "datalist.json").read_text()
    assert {line["case"] for line in json.loads(text)["training"] if "label" in line} == drawn
    for case in cases:
        if case.label is not None and case.fold is not None and case.id not in drawn:
            assert case.label.name not in text.replace(f"images/{case.label.name}", "")
    assert datalist.load(tmp_path / "run") == members
    assert LabelTable.load(tmp_path / "run") == TABLE


def test_a_datalist_says_which_cohort_it_splits(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cohort")
    for number, (name, members) in enumerate(split_cases(cases, 3).items()):
        write_datalist(members, tmp_path / name, TABLE, cases)
        assert digest(cases) in valid_splits(str(tmp_path / name)), number
