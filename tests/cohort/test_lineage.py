"""States of a cohort: which earlier datalists the cases of a new one extend."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort.case import Case, digest
from scripts.cohort.datalist import DATALIST_FILE, save
from scripts.cohort.lineage import cohort_states, extended, named_as_before, sides_of, valid_splits
from scripts.errors import SemclError

NUMBERS = {"folds": 2, "test_share": 0.5, "seed": 0}


def cohort(*names: str) -> list[Case]:
    """A case per name; those in capitals are testing cases."""
    return [Case(name, f"p{name}", "portal", Path(f"{name}.nii"), fold=None if name.isupper() else 0) for name in names]


def saved(folder: Path, cases: list[Case]) -> str:
    save(cases, folder, split=NUMBERS, extends=extended(folder, cases))
    return digest(cases)


def test_a_cohort_that_grows_twice_knows_both_states(tmp_path: Path) -> None:
    names = ["a", "B"], ["a", "B", "c"], ["a", "B", "c", "D"]
    digests = [saved(tmp_path, cohort(*some)) for some in names]
    assert cohort_states(tmp_path) == valid_splits(tmp_path) == digests[::-1]
    assert saved(tmp_path, cohort(*names[-1])) == digests[-1]
    assert cohort_states(tmp_path) == digests[::-1]


def moved(cases: list[Case]) -> list[Case]:
    return [replace(case, fold=None if case.fold is not None else 0) for case in cases]


@pytest.mark.parametrize(
    "change",
    [
        lambda cases: cases[1:],
        moved,
        lambda cases: [replace(cases[0], fold=1), *cases[1:]],
        lambda cases: [replace(cases[0], phase="arterial"), *cases[1:]],
        lambda cases: [replace(cases[0], patient="pB", fold=None), *cases[1:]],
    ],
    ids=["a patient is gone", "sides changed", "another fold", "another phase", "another patient"],
)
def test_other_splits_do_not_extend(change: Callable[[list[Case]], list[Case]], tmp_path: Path) -> None:
    saved(tmp_path, cohort("a", "B"))
    assert extended(tmp_path, [*change(cohort("a", "B")), *cohort("c")]) == []


def test_a_scan_may_go_where_its_patient_stays(tmp_path: Path) -> None:
    before = saved(tmp_path, [*cohort("a", "B"), replace(cohort("a2")[0], patient="pa")])
    assert extended(tmp_path, cohort("a", "B")) == [before]


def test_sides_are_known_of_a_cohort_split_alike_alone(tmp_path: Path) -> None:
    assert sides_of(tmp_path, NUMBERS, []) == {}
    saved(tmp_path, cohort("a", "B"))
    assert sides_of(tmp_path, NUMBERS, []) == {"pa": 0, "pB": None}
    assert sides_of(tmp_path, NUMBERS | {"seed": 1}, []) == {}
    (tmp_path / DATALIST_FILE).write_text(json.dumps({"training": [{"case": "a", "patient": "a", "image": 1}]}))
    assert sides_of(tmp_path, NUMBERS, []) == {}
    assert extended(tmp_path, cohort("a")) == []


def test_patients_are_known_by_their_scans_whatever_they_are_called(tmp_path: Path) -> None:
    saved(tmp_path, cohort("a", "B"))
    a, b = cohort("a", "B")
    known = sides_of(tmp_path, NUMBERS, [replace(a, patient="ann"), replace(b, patient="bob"), *cohort("c")])
    assert known == {"pa": 0, "pB": None, "ann": 0, "bob": None}
    match = r"(?s)case B: scans that are now one patient's.*patient ann: a in fold 0 and B in testing in .*--seed"
    with pytest.raises(SemclError, match=match):
        sides_of(tmp_path, NUMBERS, [replace(a, patient="ann"), replace(b, patient="ann")])
    with pytest.raises(SemclError, match="patient pB: B in testing and a in fold 0"):
        sides_of(tmp_path, NUMBERS, [replace(a, patient="pB")])


def test_patients_keep_their_names_unless_a_table_names_them(tmp_path: Path) -> None:
    saved(tmp_path, cohort("a", "B"))
    a, b, c = (replace(case, patient="c") for case in cohort("a", "B", "c"))
    assert [case.patient for case in named_as_before(tmp_path, [a, c], [])] == ["pa", "pa"]
    assert [case.patient for case in named_as_before(tmp_path, [a, c], ["c"])] == ["c", "c"]
    assert [case.patient for case in named_as_before(tmp_path, [a, b, c], [])] == ["c", "c", "c"]
    assert named_as_before(tmp_path / "nowhere", [a, c], []) == [a, c]


def test_a_folder_of_volumes_has_no_state(tmp_path: Path) -> None:
    assert cohort_states(tmp_path) == valid_splits(tmp_path) == []
