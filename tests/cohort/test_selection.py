"""Training scans: folds and shares of patients, hidden label maps, pseudo-labels."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.cohort import selection
from scripts.cohort.case import Case
from scripts.errors import SemclError


@pytest.mark.parametrize(("fold", "left"), [(None, "abcd"), (0, "cd"), (1, "abd"), (2, "abc")])
def test_a_fold_is_left_out(fold, left):
    cases = [Case(name, name, "portal", Path(name), fold=at) for name, at in zip("abcd", (0, 0, 1, 2), strict=True)]
    assert "".join(case.id for case in selection.leave_out(cases, fold)) == left


@pytest.mark.parametrize("folds", [(0, 0), (1, 1)], ids=["all of them", "none of them"])
def test_a_fold_that_leaves_no_case_or_all_is_refused(folds):
    cases = [Case(name, name, "portal", Path(name), fold=at) for name, at in zip("ab", folds, strict=True)]
    with pytest.raises(SemclError, match="a fold cannot be left out"):
        selection.leave_out(cases, 0)


def labelled(scans: dict[str, int], without: tuple[str, ...] = ()) -> list[Case]:
    """So many scans of each patient, with label maps but for those of some patients."""
    return [
        Case(f"{patient}{number}", patient, "portal", Path("i.nii"), None if patient in without else Path("l.nii"), 0)
        for patient, count in scans.items()
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("patients", "share", "held"), [(10, 0.2, 2), (20, 0.2, 4), (9, 0.2, 0), (20, 0.0, 0), (10, 0.1, 2)]
)
def test_patients_are_held_out_where_there_are_enough(patients, share, held):
    cases = labelled({f"p{number}": 2 for number in range(patients)})
    learnt, out = selection.hold_out(cases, cases, None, share, 10, 0)
    assert len({case.patient for case in out}) == held
    assert not {case.patient for case in out} & {case.patient for case in learnt}
    assert sorted(case.id for case in [*learnt, *out]) == sorted(case.id for case in cases)
    assert selection.hold_out(cases, cases, None, share, 10, 0) == (learnt, out)


def test_a_left_out_fold_is_what_is_held_out():
    cases = [Case(name, name, "portal", Path(name), Path(name), at) for name, at in zip("abc", (0, 1, 1), strict=True)]
    assert selection.hold_out(cases, cases, 1, 0.2, 1, 0) == (cases[:1], cases[1:])


def test_nothing_of_a_held_out_patient_is_learnt_from_and_only_own_labels_calibrate():
    cases = labelled({f"p{number}": 2 for number in range(10)})
    own = cases[::2]  # the others have pseudo-labels
    learnt, out = selection.hold_out(cases, own, None, 0.2, 10, 0)
    assert not {case.patient for case in out} & {case.patient for case in learnt}
    assert all(case in own for case in out)
    assert (len(learnt), len(out)) == (16, 2)


def test_a_left_out_fold_calibrates_with_its_own_label_maps_alone():
    cases = [
        Case(name, name, "portal", Path(name), Path(name), at) for name, at in zip("abcd", (0, 0, 1, 1), strict=True)
    ]
    own = cases[::2]  # the others have pseudo-labels
    assert selection.hold_out(cases, own, 1, 0.2, 1, 0) == (cases[:2], [cases[2]])
    assert selection.hold_out(cases, cases[:1], 1, 0.2, 1, 0) == (cases[:2], [])  # none there: as without a fold


@pytest.mark.parametrize(("patients", "share", "held"), [(2, 0.2, 0), (3, 0.2, 2), (3, 0.9, 2), (1, 0.2, 0)])
def test_someone_is_left_to_learn_from(patients, share, held):
    cases = labelled({f"p{number}": 1 for number in range(patients)})
    learnt, out = selection.hold_out(cases, cases, None, share, 1, 0)
    assert (len(learnt), len(out)) == (patients - held, held)


def test_an_organ_that_no_case_annotates_is_not_taught():
    cases = labelled({"a": 1, "b": 1})
    organs = ("liver", "spleen", "aorta")
    selection.require_annotated(cases, organs)
    partial = [replace(cases[0], annotated=("liver",)), replace(cases[1], annotated=("liver", "spleen"))]
    selection.require_annotated(partial, organs[:2])
    selection.require_annotated(partial, organs, [1, 2])
    selection.require_annotated([*partial, cases[0]], organs)
    with pytest.raises(
        SemclError, match=r"(?s)^aorta: annotated in no case.*2 cases.*label table without these organs"
    ):
        selection.require_annotated(partial, organs)
    with pytest.raises(SemclError, match=r"^spleen, aorta: annotated in no case"):
        selection.require_annotated(partial[:1], organs, [2, 3])


def test_a_share_of_all_patients_is_refused():
    with pytest.raises(SemclError, match="calibration_share"):
        selection.hold_out(labelled({"p": 1}), [], None, 1.0, 1, 0)


SCANS = {f"patient{number}": 1 + number % 3 for number in range(10)}


@pytest.mark.parametrize("seed", range(5))
def test_a_larger_share_of_patients_holds_a_smaller_one(seed):
    kept = [selection.share_of_patients(labelled(SCANS), share, seed) for share in (0.1, 0.25, 0.5, 0.9, 1)]
    for less, more in itertools.pairwise(kept):
        assert set(less) <= set(more)
    assert [len({case.patient for case in some}) for some in kept] == [1, 2, 5, 9, 10]
    assert kept[-1] == labelled(SCANS)


def test_a_share_is_of_patients_with_all_their_scans():
    for case in selection.share_of_patients(labelled(SCANS), 0.3, 0):
        kept = [other.id for other in selection.share_of_patients(labelled(SCANS), 0.3, 0)]
        assert {f"{case.patient}{number}" for number in range(SCANS[case.patient])} <= set(kept)


def test_a_share_depends_on_the_seed_and_not_on_the_order_of_cases():
    shares = {seed: selection.share_of_patients(labelled(SCANS), 0.3, seed) for seed in range(20)}
    assert shares[3] == selection.share_of_patients(labelled(SCANS), 0.3, 3)
    backwards = selection.share_of_patients(labelled(SCANS)[::-1], 0.3, 3)
    assert set(backwards) == set(shares[3])
    who = [frozenset(case.patient for case in share) for share in shares.values()]
    assert len(set(who)) > 10
    assert frozenset().union(*who) == set(SCANS)


@pytest.mark.parametrize("share", [1e-9, 0.04])
def test_a_share_keeps_at_least_one_patient(share):
    assert len({case.patient for case in selection.share_of_patients(labelled(SCANS), share, 0)}) == 1


def test_unlabelled_scans_are_left_out_of_a_share_and_not_counted():
    without = ("patient0", "patient1", "patient2", "patient3", "patient4", "patient5")
    some = selection.share_of_patients(labelled(SCANS, without), 0.5, 0)
    assert len({case.patient for case in some}) == 2
    every = selection.share_of_patients(labelled(SCANS, without), 1, 0)
    assert every == [case for case in labelled(SCANS) if case.patient not in without]


@pytest.mark.parametrize("share", [0, -0.1, 1.01, 50, float("nan")])
def test_an_invalid_share_is_refused(share):
    with pytest.raises(
        SemclError, match=rf"(?s)share of the patients.*labelled {share}.*above 0, at most 1.*set label"
    ):
        selection.share_of_patients(labelled(SCANS), share, 0)


def test_a_share_of_scans_without_label_maps_is_refused():
    with pytest.raises(SemclError, match=r"(?s)case patient00: an image without a label map"):
        selection.share_of_patients(labelled(SCANS, tuple(SCANS)), 0.5, 0)


# pseudo labels and hidden label maps


def test_pseudo_labels_without_scans_that_need_them_are_refused(tmp_path):
    cases = labelled({"a": 1, "b": 1})
    assert selection.with_pseudo_labels(cases, cases, None) == cases
    with pytest.raises(SemclError, match=r"(?s)no pseudo-labels to learn from.*label map of every training scan"):
        selection.with_pseudo_labels(cases, cases, str(tmp_path / "pseudo"))


@pytest.mark.parametrize("suffix", [".nii.gz", ".png"])
def test_scans_without_label_maps_get_their_pseudo_labels(suffix, tmp_path):
    training = labelled({"a": 2, "b": 1, "c": 1}, without=("b", "c"))
    learnt = training[:2]
    training[2] = replace(training[2], annotated=("liver",))  # of a label map that it does not have
    assert selection.with_pseudo_labels(learnt, training, None) == learnt
    for name in ("b0", "c0"):
        (tmp_path / f"{name}{suffix}").touch()
    joined = selection.with_pseudo_labels(learnt, training, str(tmp_path))
    maps = {case.id: str(case.label) for case in joined}
    assert {case.annotated for case in joined} == {None}
    assert [case.pseudo for case in joined] == [False, False, True, True]
    assert maps == {"a0": "l.nii", "a1": "l.nii"} | {name: f"{tmp_path}/{name}{suffix}" for name in ("b0", "c0")}


def test_some_scans_without_label_maps_are_of_many_patients_and_drawn_by_seed():
    training = labelled({"a": 2, "b": 3, "c": 1, "d": 2, "e": 2}, without=("b", "c", "d"))
    training[-1] = replace(training[-1], label=None, fold=None)  # to be tested
    every = {case.id for case in training if case.label is None and case.fold is not None}
    assert {case.id for case in selection.some_unlabelled(training, 40, 0)} == every
    draws = [selection.some_unlabelled(training, 4, seed) for seed in range(10)]
    for drawn in draws:
        assert len({case.id for case in drawn}) == 4
        assert {case.patient for case in drawn} == {"b", "c", "d"}
    assert len({tuple(sorted(case.id for case in drawn)) for drawn in draws}) > 1
    assert selection.some_unlabelled(training, 4, 3) == draws[3]


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_every_scan_without_a_pseudo_label_is_named(folder, tmp_path):
    training = labelled({"a": 1, "b": 1, "c": 1}, without=("b", "c"))
    with pytest.raises(SemclError, match=r"(?s)case b0: .*case c0: .*or pseudo-label.*--section unlabelled"):
        selection.with_pseudo_labels(training[:1], training, str(tmp_path / folder))


def in_phases() -> list[Case]:
    """Two training scans and a testing one in each of two phases."""
    return [
        Case(f"{fold}{phase}", f"p{fold}", phase, Path("i.nii"), Path("l.nii"), fold)
        for fold in (0, 1, None)
        for phase in ("noncontrast", "portal")
    ]


def test_label_maps_of_other_phases_are_hidden_from_training_and_kept_for_testing():
    kept = selection.hide_labels(in_phases(), ("noncontrast", "portal"), ["portal"])
    assert [case.id for case in kept if case.label is None] == ["0noncontrast", "1noncontrast"]
    assert [case.id for case in kept] == [case.id for case in in_phases()]


@pytest.mark.parametrize(
    ("labelled_phases", "message"),
    [
        (["venous"], "labelled_phases has no such value.*venous.*noncontrast, portal"),
        (["late"], "nothing is left to learn from"),
    ],
)
def test_unknown_phases_and_those_that_leave_no_label_map_are_refused(labelled_phases, message):
    with pytest.raises(SemclError, match=f"(?s){message}"):
        selection.hide_labels(in_phases(), ("noncontrast", "portal", "late"), labelled_phases)
