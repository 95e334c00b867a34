"""Provenance: the split, organs, patients and cases that are noted beside files."""

from scripts.cohort.case import digest
from scripts.cohort.provenance import provenance
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
