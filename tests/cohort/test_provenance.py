"""Provenance: the split, organs, patients and cases that are noted beside files."""

from scripts.cohort.case import Case, digest
from scripts.cohort.provenance import learnt_labels, provenance, with_learnt_labels
from tests.cohort.test_leaks import ORIGIN, TABLE, cohort, model


def test_a_note_records_split_organs_and_hashed_patients(tmp_path):
    cases = cohort(tmp_path, "ab")
    note = provenance(ORIGIN, cases, TABLE)
    hashes = {key: note[key] for key in ("patients", "cases")}
    assert note == {**ORIGIN, "cohort": digest(cases), "organs": TABLE.organs_digest(), **hashes}
    assert [len(hashes[key].split()) for key in hashes] == [4, 4]
    assert not {one.id for one in cases} & set(note["cases"].split())
    assert provenance(ORIGIN, cases[::-1], TABLE) == note
    assert not {one.patient for one in cases} & set(note["patients"].split())


def test_weights_that_began_with_those_of_their_own_cohort_note_no_other(tmp_path):
    cases = cohort(tmp_path, "ab")
    assert provenance(ORIGIN, cases, TABLE, [model(tmp_path, cases)]) == provenance(ORIGIN, cases, TABLE)


def test_label_maps_that_weights_did_not_learn_from_are_hidden_but_not_those_of_patients_they_know(tmp_path):
    cases = [Case(f"{patient}_{n}", patient, "portal", tmp_path, tmp_path, 0) for patient in "ab" for n in (0, 1)]
    tested = Case("t", "t", "portal", tmp_path, tmp_path, None)
    note = {"cohort": "c"} | learnt_labels({"cohort": "c"}, [*cases[:1], tested])
    found = with_learnt_labels(note, [*cases, tested])
    assert [case.id for case in found if case.label] == ["a_0", "a_1", "t"]  # a_1 was added later
    assert with_learnt_labels({"cohort": "c"}, cases) == cases  # of an earlier version
