"""The split by patient: folds, testing, scans that are only learnt from, patients who keep their side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.intake.case_table import CaseRow
from scripts.intake.layouts.scan import Scan
from scripts.intake.splitting import as_stated, never_tested, split


def random_cases(seed):
    """Cases of 12 to 20 patients with one to three scans each, in any order."""
    rng = np.random.default_rng(seed)
    owners = [patient for patient in range(rng.integers(12, 21)) for _ in range(rng.integers(1, 4))]
    return [Case(f"{n}", f"p{owner}", "portal", Path(f"{n}.nii")) for n, owner in enumerate(rng.permutation(owners))]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("folds", "share"), [(2, 0.0), (3, 0.4), (5, 0.5), (6, 0.4)])
def test_a_split_is_by_patient_and_leaves_no_fold_empty(seed, folds, share):
    cases = random_cases(seed)
    made = split(cases, folds, share, seed)
    assert [(case.id, case.patient) for case in made] == [(case.id, case.patient) for case in cases]
    sides = {case.patient: set() for case in made}
    for case in made:
        sides[case.patient].add(case.fold)
    assert all(len(seen) == 1 for seen in sides.values())
    held = [fold for seen in sides.values() for fold in seen]
    assert held.count(None) == round(share * len(sides))
    sizes = [held.count(fold) for fold in range(folds)]
    assert sum(sizes) == len(sides) - held.count(None)
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


def test_a_split_depends_on_the_seed_and_not_on_the_order():
    cases = random_cases(0)
    made = split(cases, 3, 0.4, seed=1)
    assert sorted(split(cases[::-1], 3, 0.4, seed=1), key=str) == sorted(made, key=str)
    assert split(cases, 3, 0.4, seed=2) != made


@pytest.mark.parametrize(("folds", "share"), [(-1, 0.4), (3, -0.1), (3, 1.0), (3, 40)])
def test_a_split_that_cannot_be_made_is_refused(folds, share):
    with pytest.raises(SemclError, match="patients cannot be split like that") as raised:
        split(random_cases(0), folds, share, 0)
    assert raised.value.found == f"{folds} folds, a test share of {share}"
    assert raised.value.expected == "at least 2 folds, a test share from 0 to below 1"
    assert "--folds or --test_share" in raised.value.remedy


def sides(cases):
    return {case.patient: case.fold for case in cases}


def case(name, patient=None):
    return Case(name, patient or name, "portal", Path(f"{name}.nii"))


def test_a_patient_without_labels_is_never_tested_and_moves_nobody():
    cases = [case(f"c{number}") for number in range(20)]
    bare = [case(f"u{number}") for number in range(5)]
    made = sides(split([*bare, *cases], 3, 0.4, 0, {one.id for one in bare}))
    assert {one.patient: made[one.patient] for one in cases} == sides(split(cases, 3, 0.4, 0))
    assert [made[one.patient] for one in bare] == [0, 1, 2, 0, 1]


def test_patients_keep_their_side_and_the_shares_are_kept_with_new_ones():
    cases = [case(f"c{number}") for number in range(10)]
    before = sides(split(cases, 3, 0.4, 0))
    more = [*cases, *(case(f"n{number}") for number in range(10))]
    after = sides(split(more, 3, 0.4, 0, known=before))
    assert {patient: after[patient] for patient in before} == before
    assert list(after.values()).count(None) == 8
    assert sorted(list(after.values()).count(fold) for fold in range(3)) == [4, 4, 4]
    assert after != sides(split(more, 3, 0.4, 0))


def test_patients_who_keep_their_sides_must_be_enough_to_train_on_too():
    cases = [case("a"), case("b")]
    assert sides(split(cases, 2, 0, 0, unlabelled="ab", known={"a": None, "b": None})) == {"a": None, "b": None}
    with pytest.raises(SemclError, match=r"(?s)too few patients to train on.*2 patients, 2 of them kept for testing"):
        split(cases, 2, 0, 0, known={"a": None, "b": None})


def scan(name, labelled=True, fold=None, unlabelled=False):
    row = CaseRow(name, name, fold=fold) if fold is not None else None
    return Scan(name, Path(f"{name}.nii"), Path(f"{name}_label.nii") if labelled else None, (), row, unlabelled)


def test_scans_without_labels_are_tested_only_where_no_scan_has_them_or_the_table_says_so():
    bare = scan("b", labelled=False)
    assert never_tested([scan("a"), bare, scan("c", False, fold="test")]) == {"b"}
    assert never_tested([bare, scan("d", False, unlabelled=True)]) == {"d"}
    assert never_tested([scan("a"), scan("e", False, fold="test", unlabelled=True)]) == {"e"}


def test_scans_to_learn_from_need_no_fold_where_others_state_one():
    scans = {one.case: one for one in (scan("a", fold="0"), scan("b", fold="2"), scan("u", False), scan("v", False))}
    cases = [replace(case("a"), fold=0), replace(case("b"), fold=2), case("u"), case("v", "b")]
    assert [one.fold for one in as_stated(cases, scans, {"u", "v"})] == [0, 2, 0, 2]
    with pytest.raises(SemclError, match=r"(?s)case u: column fold is not filled in.*1 case without a fold"):
        as_stated(cases, scans, {"v"})
