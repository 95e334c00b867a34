"""Label budgets: amounts in words, which patients a seed draws, and folds that cross-fitting can hold out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.study.labels import Amount, parse_labels, with_labels_of
from tests.study.made import TABLE, write_cases

ORGANS = TABLE.names
SEEDS = range(8)


def labelled(cases: list[Case]) -> set[str]:
    """The training patients with label maps."""
    return {case.patient for case in cases if case.fold is not None and case.label is not None}


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """Six labelled training patients, two without label maps, two to be tested."""
    return write_cases(tmp_path)


# amounts


@pytest.mark.parametrize(
    ("text", "amount", "name"),
    [
        ("2", Amount(patients=2), "2 patients"),
        (1, Amount(patients=1), "1 patient"),
        ("10%", Amount(share=0.1), "10%"),
        (" 12.5 % ", Amount(share=0.125), "12.5%"),
        ("100%", Amount(share=1.0), "100%"),
        ("7%", Amount(share=0.07), "7%"),
    ],
)
def test_an_amount_is_a_number_of_patients_or_a_share_of_them(text: str | float, amount: Amount, name: str) -> None:
    assert Amount.of(text) == amount
    assert amount.name == name


@pytest.mark.parametrize(
    "text", ["0", "0%", "101%", "-1", "half", "nan", "", "2 patients", "0.5", "1e3", "5%%", "10 % of them"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(SemclError, match=r"(?s)not an amount of labels.*number of patients.*set --labels, for example"):
        Amount.of(text)


@pytest.mark.parametrize(
    ("text", "patients", "count"), [("2", 40, 2), ("10%", 40, 4), ("10%", 3, 1), ("100%", 7, 7), ("50%", 3, 2)]
)
def test_a_share_is_rounded_and_never_nobody(text: str, patients: int, count: int) -> None:
    assert Amount.of(text).count(patients) == count


@pytest.mark.parametrize("texts", [[], ["2", "2"], ["50%", "50.0%"]])
def test_amounts_are_given_each_once(texts: list[str]) -> None:
    with pytest.raises(SemclError, match=r"(?s)must be given, each only once.*without repeats"):
        parse_labels(texts)


def test_amounts_keep_their_order() -> None:
    assert [amount.name for amount in parse_labels(["100%", "2", "10%"])] == ["100%", "2 patients", "10%"]


# draws


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_amount_includes_a_smaller_one(cases: list[Case], seed: int) -> None:
    drawn = [labelled(with_labels_of(cases, Amount(patients=count), seed, ORGANS, 1)) for count in range(1, 7)]
    assert [len(patients) for patients in drawn] == [1, 2, 3, 4, 5, 6]
    assert all(one < other for one, other in itertools.pairwise(drawn))


def test_the_seed_alone_decides_who_is_drawn(cases: list[Case]) -> None:
    def drawn(seed: int, given: list[Case]) -> frozenset[str]:
        return frozenset(labelled(with_labels_of(given, Amount(patients=2), seed, ORGANS, 2)))

    for seed in SEEDS:
        assert drawn(seed, cases) == drawn(seed, cases[::-1])
    assert len({drawn(seed, cases) for seed in SEEDS}) > 1


def phases_of(cases: list[Case]) -> set[str]:
    return {case.phase for case in cases if case.fold is not None and case.label is not None}


@pytest.mark.parametrize("seed", range(20))
def test_phases_that_have_label_maps_keep_a_labelled_patient_where_they_can(cases: list[Case], seed: int) -> None:
    """Of six patients only two have a portal scan, so that two drawn blindly would often miss it."""
    assert phases_of(with_labels_of(cases, Amount(patients=2), seed, ORGANS, 2)) == {"noncontrast", "portal"}


def test_one_patient_of_one_phase_cannot_keep_both(cases: list[Case]) -> None:
    apart = [replace(case, patient=f"{case.patient} {case.phase}") for case in cases]
    found = [phases_of(with_labels_of(apart, Amount(patients=1), seed, ORGANS, 1)) for seed in range(20)]
    assert all(len(phases) == 1 for phases in found)


@pytest.mark.parametrize("seed", SEEDS)
def test_label_maps_of_all_others_are_not_even_named(cases: list[Case], seed: int) -> None:
    found = with_labels_of(cases, Amount(patients=3), seed, ORGANS, 2)
    drawn = labelled(found)
    assert [case.id for case in found] == [case.id for case in cases]
    for case, before in zip(found, cases, strict=True):
        if case.fold is None:
            assert case == before
        else:
            assert case.label == (before.label if case.patient in drawn else None)


def test_all_scans_of_a_drawn_patient_are_labelled(cases: list[Case]) -> None:
    found = with_labels_of(cases, Amount(share=1.0), 0, ORGANS, 2)
    assert [case.label for case in found] == [case.label for case in cases]


# folds


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (3, 3), (4, 3), (6, 3)])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_drawn_patients_are_spread_over_the_cohort_s_folds(
    tmp_path: Path, count: int, folds: int, seed: int
) -> None:
    three = [
        replace(case, fold=int(case.patient[1:]) % 3 if case.fold is not None else None)
        for case in write_cases(tmp_path)
    ]
    found = with_labels_of(three, Amount(patients=count), seed, ORGANS, 2)
    fold = {case.patient: case.fold for case in found if case.fold is not None and case.label is not None}
    sizes = [list(fold.values()).count(number) for number in range(folds)]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_two_patients_are_held_out_one_at_a_time(cases: list[Case], seed: int) -> None:
    one_fold = [replace(case, fold=0) if case.fold is not None else case for case in cases]
    found = with_labels_of(one_fold, Amount(patients=2), seed, ORGANS, 2)
    fold = {case.patient: case.fold for case in found if case.fold is not None and case.label is not None}
    assert sorted(number for number in fold.values() if number is not None) == [0, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_patient_is_torn_between_folds(cases: list[Case], seed: int) -> None:
    found = with_labels_of(cases, Amount(patients=4), seed, ORGANS, 2)
    for patient in {case.patient for case in found}:
        assert len({case.fold for case in found if case.patient == patient}) == 1


# refused


@pytest.mark.parametrize(
    ("amount", "least", "message"),
    [
        (Amount(patients=7), 1, r"7 patients of labels cannot be drawn.*7 of 6 labelled training patients"),
        (Amount(patients=1), 2, r"1 of 6.*2 or more: with cross-fitting each map comes from a network that has not"),
        (Amount(share=0.1), 2, r"10% of labels cannot be drawn.*1 of 6"),
    ],
)
def test_an_amount_that_leaves_a_strategy_nothing_is_refused(
    cases: list[Case], amount: Amount, least: int, message: str
) -> None:
    with pytest.raises(SemclError, match=rf"(?s){message}.*set --labels, or label more patients"):
        with_labels_of(cases, amount, 0, ORGANS, least)


def test_an_organ_that_no_drawn_patient_is_annotated_for_is_named_with_the_seed(cases: list[Case]) -> None:
    partly = [replace(case, annotated=("liver", "nobody's") if case.patient != "p1" else None) for case in cases]
    drawn = [labelled(with_labels_of(cases, Amount(patients=2), seed, ORGANS, 2)) for seed in SEEDS]
    assert 0 < sum("p1" in patients for patients in drawn) < len(SEEDS)
    for seed, patients in zip(SEEDS, drawn, strict=True):
        if "p1" in patients:
            assert labelled(with_labels_of(partly, Amount(patients=2), seed, ORGANS, 2)) == patients
        else:
            names = ", ".join(sorted(patients))
            message = (
                rf"(?s)2 patients of labels leave bile_duct without any.*seed {seed} draws {names}, none annotated"
            )
            with pytest.raises(SemclError, match=message):
                with_labels_of(partly, Amount(patients=2), seed, ORGANS, 2)
    assert labelled(with_labels_of(partly, Amount(patients=6), 0, ORGANS, 2))
