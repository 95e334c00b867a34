"""What to label next: far from what is labelled, in doubt, and each patient once."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from scripts.audit.examples import joined
from scripts.audit.judging import judge
from scripts.audit.label_next import BOTH, EMBEDDINGS, MEASURED, NEXT_COLUMNS, label_next, scan_features
from scripts.audit.measures import MEASURES

from .made import TABLE

WAITING = ("p5", "p6", "p7")


def cohort_of(gathered, toys, moved=None):
    """Objects and cases of the toy cohort in which ``WAITING`` have maps instead of label maps."""
    clean = gathered[gathered.clean]
    waiting = np.isin(clean.cases, WAITING)
    measures = clean.measures.copy()
    for case, by in (moved or {}).items():
        measures[clean.cases == case, : len(MEASURES)] += by
    sources = np.where(waiting, "map", clean.sources)
    found = replace(clean, sources=sources, measures=measures, vectors=np.zeros((len(clean), 0, 0), np.float32))
    return found, [replace(case, label=None) if case.id in WAITING else case for case in toys]


def test_the_patient_unlike_the_labelled_ones_comes_first_and_its_twin_last(gathered, toys):
    found, cases = cohort_of(gathered, toys, {"p6": 50.0})
    found.measures[found.cases == "p7"] = found.measures[found.cases == "p6"]
    ranked = label_next(found, cases, {})
    assert ranked.rests_on == MEASURED
    assert {one.patient for one in ranked.patients} == set(WAITING)
    first, second = ranked.patients[:2]
    assert first.patient in ("p6", "p7")
    assert second.patient == "p5", "its twin is covered by the first"
    assert first.distance > second.distance > 0


def test_doubt_decides_between_patients_alike(gathered, toys):
    found, cases = cohort_of(gathered, toys)
    doubtful = label_next(found, cases, {"p5": 0.9, "p6": 0.1, "p7": 0.9}, BOTH)
    assert doubtful.patients[0].patient == "p6"
    assert doubtful.patients[0].expected_dice == 0.1
    by_doubt = label_next(found, cases, {"p5": 0.3, "p6": 0.5, "p7": 0.2}, "doubt")
    assert [one.patient for one in by_doubt.patients] == ["p7", "p5", "p6"]


def test_scans_of_a_patient_are_labelled_together_and_embeddings_come_first(gathered, toys):
    clean = gathered[gathered.clean]
    found = replace(clean, sources=np.where(np.isin(clean.cases, WAITING), "map", clean.sources))
    cases = [replace(case, label=None, patient="twice") if case.id in ("p5", "p7") else case for case in toys]
    cases = [replace(case, label=None) if case.id == "p6" else case for case in cases]
    ranked = label_next(found, cases, {"p5": 0.4, "p7": 0.6})
    assert ranked.rests_on == EMBEDDINGS
    (twice,) = [one for one in ranked.patients if one.patient == "twice"]
    assert sorted(twice.cases) == ["p5", "p7"]
    assert twice.expected_dice == 0.5


def test_scans_without_a_map_are_named_and_a_labelled_cohort_has_nothing_to_rank(gathered, toys):
    found, cases = cohort_of(gathered, toys)
    ranked = label_next(found[found.cases != "p6"], cases, {})
    assert ranked.without_map == ("p6",)
    assert len(ranked.patients) == 2
    assert label_next(found, toys, {}) is None


def test_labelled_scans_are_compared_by_their_attention_maps(gathered, toys):
    found, cases = cohort_of(gathered, toys)
    labelled, measures = found[found.sources == "label"], found.measures
    like_p5 = np.vstack([measures[(found.cases == "p5") & (found.organs == organ)] for organ in labelled.organs])
    opinions = replace(labelled, sources=np.full(len(labelled), "attention"), measures=like_p5)
    assert min(one.distance for one in label_next(found, cases, {}, "coverage").patients) > 0.1
    last = label_next(joined([found, opinions]), cases, {}, "coverage").patients[-1]
    assert (last.patient, last.distance) == ("p5", pytest.approx(0, abs=1e-6))


def test_an_organ_that_a_scan_lacks_counts_as_usual(gathered, toys):
    found, _ = cohort_of(gathered, toys)
    names, features = scan_features(found[~((found.cases == "p0") & (found.organs == "liver"))])
    assert features.shape == (8, 3 * len(MEASURES))
    assert (features[names.index("p0"), : len(MEASURES)] != 0).any(), "the organs are in alphabetical order"
    assert (features[names.index("p0")] == 0).sum() >= len(MEASURES)


def test_the_audit_ranks_and_writes(gathered, toys, tmp_path):
    found, cases = cohort_of(gathered, toys)
    errors = gathered[(gathered.kinds != "") & ~np.isin(gathered.cases, WAITING)]
    errors = replace(errors, vectors=np.zeros((len(errors), 0, 0), np.float32))
    ranked = judge(joined([found, errors]), cases, WAITING, TABLE, 0.6, 0).label_next
    assert len(ranked.patients) == 3
    assert all(0 <= one.expected_dice <= 1 for one in ranked.patients)
    ranked.write(tmp_path / "label_next.csv")
    with open(tmp_path / "label_next.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == NEXT_COLUMNS
    assert [row["patient"] for row in rows] == [one.patient for one in ranked.patients]
    assert ranked.content["patients"][0]["distance"] == pytest.approx(float(rows[0]["distance"]), abs=1e-3)
