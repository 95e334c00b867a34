"""Leaks: what stages refuse because of the split, organs and patients that are noted beside files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from scripts.cohort import datalist
from scripts.cohort.attention import attention_path
from scripts.cohort.case import Case, digest
from scripts.cohort.label_table import LabelTable
from scripts.cohort.leaks import require_split, require_start_unseen, require_unseen
from scripts.cohort.lineage import extended
from scripts.cohort.provenance import learnt_from, note_attention, provenance, stale_maps
from scripts.errors import SemclError
from scripts.job.weights import load_weights, save_weights
from scripts.study.splits import split_cases, write_datalist
from tests.conftest import write_nifti

TABLE = LabelTable.parse({"organs": {"liver": 1, "aorta": 2}, "phases": ["portal"]})
ORIGIN = {"stage": "train.yaml", "labels": TABLE.digest()}
PATIENTS = "abcdef"


def cohort(folder: Path, tested: str, patients: str = PATIENTS, labelled: bool = True) -> list[Case]:
    """A cohort of a scan a patient, of whom some are tested, with an attention map of each."""
    scan = write_nifti(folder / "scan.nii.gz", np.zeros((2, 3, 4), np.int16))
    cases = [
        Case(f"scan_{one}", one, "portal", scan, scan if labelled else None, None if one in tested else number % 2)
        for number, one in enumerate(patients)
    ]
    datalist.save(cases, folder)
    for case in cases:
        write_nifti(attention_path(folder / "attention", case.id), np.zeros((2, 3, 4), np.uint8))
    return cases


def model(folder: Path, cases: list[Case], table: LabelTable = TABLE) -> str:
    save_weights(folder / "models" / "model.pt", nn.Linear(1, 1), provenance(ORIGIN, cases, table))
    return str(folder / "models" / "model.pt")


def test_models_segment_the_testing_cases_of_their_own_split(tmp_path):
    cases = cohort(tmp_path, "ab")
    require_unseen(cases[:2], str(tmp_path), TABLE, [model(tmp_path, cases)])


def test_models_of_another_split_do_not_segment_their_training_patients(tmp_path):
    weights = model(tmp_path, cohort(tmp_path, "ab"))
    cases = cohort(tmp_path, "bc")
    match = (
        rf"(?s)case scan_c: a patient who is tested is one that was learnt from.*1 of 2 .*model\.json.*{digest(cases)}"
    )
    with pytest.raises(SemclError, match=match):
        require_unseen([case for case in cases if case.fold is None], str(tmp_path), TABLE, [weights])


def test_weights_that_have_seen_a_tested_patient_make_no_pseudo_labels_either(tmp_path):
    weights = model(tmp_path, cohort(tmp_path, "ab"))
    cases = cohort(tmp_path, "bc")
    with pytest.raises(SemclError, match="case scan_c: a patient who is tested is one that was learnt from"):
        require_unseen([case for case in cases if case.fold is not None], str(tmp_path), TABLE, [weights])


def test_no_training_begins_with_weights_that_have_seen_a_tested_patient(tmp_path):
    weights = model(tmp_path, cohort(tmp_path, "ab"))
    require_start_unseen(tmp_path, [None, weights])
    cohort(tmp_path, "a")
    require_start_unseen(tmp_path, [weights])
    cohort(tmp_path, "bc")
    require_start_unseen(tmp_path, [None])
    with pytest.raises(SemclError, match=r"(?s)case scan_c: a patient who is tested.*model\.json"):
        require_start_unseen(tmp_path, [None, weights])


def test_training_begins_with_weights_of_other_tools_cohorts_and_organs(tmp_path):
    cohort(tmp_path, "bc")
    (tmp_path / "resnet.pt").write_bytes(b"x")
    (tmp_path / "resnet.json").write_text('{"layers": 50}')
    other = LabelTable.parse({"organs": {"heart": 1}, "phases": ["mr"]})
    weights = model(tmp_path, cohort(tmp_path / "other", "h", "ghi"), other)
    require_start_unseen(tmp_path, [str(tmp_path / "resnet.pt"), weights, str(tmp_path / "none.pt")])


def test_a_model_of_another_cohort_does_not_segment_its_training_patients(tmp_path):
    weights = model(tmp_path / "one", cohort(tmp_path / "one", "a"))
    cases = cohort(tmp_path / "other", "xf", "xyzf")
    with pytest.raises(SemclError, match="case scan_f: a patient who is tested"):
        require_unseen(cases, str(tmp_path / "other"), TABLE, [weights])


def test_a_scan_that_was_learnt_from_is_known_whatever_its_patient_is_called(tmp_path):
    weights = model(tmp_path, cohort(tmp_path, "ab"))
    cases = [replace(case, patient=f"new {case.patient}") for case in cohort(tmp_path, "bc")]
    datalist.save(cases, tmp_path)
    tested = [case for case in cases if case.fold is None]
    with pytest.raises(
        SemclError, match=r"(?s)case scan_c: a patient who is tested is one that was learnt from.*1 of 2"
    ):
        require_unseen(tested, str(tmp_path), TABLE, [weights])
    path = Path(weights).with_suffix(".json")
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "cases"}))
    require_unseen(tested, str(tmp_path), TABLE, [weights])


FINE = {
    "scans were added": lambda folder: cohort(folder, "ab", PATIENTS + "xyz"),
    "folds were changed": lambda folder: cohort(folder, "ab", "abfedc"),
    "fewer are tested": lambda folder: cohort(folder, "a"),
    "another cohort": lambda folder: cohort(folder, "uvw", "uvwxyz"),
    "follow-ups without label maps": lambda folder: cohort(folder, "abcdef", labelled=False),
}


@pytest.mark.parametrize("change", FINE.values(), ids=FINE)
def test_models_that_saw_no_testing_patient_stay_usable(change, tmp_path):
    weights = model(tmp_path, cohort(tmp_path, "ab"))
    cases = change(tmp_path)
    require_unseen([case for case in cases if case.fold is None], str(tmp_path), TABLE, [weights])


def test_a_plain_folder_of_scans_is_segmented_by_any_model(tmp_path):
    weights = model(tmp_path, cohort(tmp_path / "cohort", "ab"))
    write_nifti(tmp_path / "scans" / "c.nii.gz", np.zeros((2, 3, 4), np.int16))
    require_unseen(datalist.load(tmp_path / "scans"), str(tmp_path / "scans"), TABLE, [weights])


def test_training_cases_may_be_segmented_by_their_own_model(tmp_path):
    weights = model(tmp_path, cohort(tmp_path, "ab"))
    cases = cohort(tmp_path, "a")
    require_unseen([case for case in cases if case.fold is not None], str(tmp_path), TABLE, [weights])


OTHER_ORGANS = {
    "another order": {"aorta": 2, "liver": 1},
    "one more": {"liver": 1, "aorta": 2, "spleen": 3},
    "another index": {"liver": 1, "aorta": 3},
}


@pytest.mark.parametrize("organs", OTHER_ORGANS.values(), ids=OTHER_ORGANS)
def test_models_made_with_other_organs_are_refused_with_both_tables(organs, tmp_path):
    cases = cohort(tmp_path, "ab")
    table = LabelTable.parse({"organs": organs, "phases": ["portal"]})
    match = rf"(?s)organs of another label table.*{TABLE.organs_digest()} in .*model\.json.*{table.organs_digest()}"
    with pytest.raises(SemclError, match=match):
        require_unseen(cases, str(tmp_path), table, [model(tmp_path, cases)])


@pytest.mark.parametrize(
    ("there", "refused"),
    [
        ({"liver": 1, "aorta": 2}, None),
        ({"spleen": 3, "aorta": 2}, None),
        ({"liver": 2, "aorta": 1}, "liver 1, and in .* liver 2"),
        ({"liver": 1, "spleen": 2}, "aorta 2, and in .* spleen 2"),
    ],
)
def test_a_model_writes_no_label_maps_into_a_cohort_that_numbers_organs_in_another_way(there, refused, tmp_path):
    cases = cohort(tmp_path, "ab")
    weights = model(tmp_path, cases)
    LabelTable.parse({"organs": there, "phases": ["portal"]}).save(tmp_path)
    if refused is None:
        require_unseen(cases, str(tmp_path), TABLE, [weights])
        return
    match = f"(?s)number organs in another way.*{refused}.*the same number for the same organ.*put back the labels.yaml"
    with pytest.raises(SemclError, match=match):
        require_unseen(cases, str(tmp_path), TABLE, [weights])


def test_networks_do_not_depend_on_phases_and_tolerances(tmp_path):
    cases = cohort(tmp_path, "ab")
    table = LabelTable.parse({"organs": {"liver": {"index": 1, "tolerance": 3}, "aorta": 2}, "phases": ["x", "y"]})
    require_unseen(cases, str(tmp_path), table, [model(tmp_path, cases)])


def test_weights_without_provenance_are_accepted_with_a_warning(tmp_path, capsys):
    cases = cohort(tmp_path, "ab")
    save_weights(tmp_path / "old.pt", nn.Linear(1, 1), ORIGIN)
    require_unseen(cases, str(tmp_path), TABLE, [str(tmp_path / "old.pt"), str(tmp_path / "none.pt")])
    assert capsys.readouterr().err == (
        f"warning: {tmp_path}/old.json does not state the organs and patients the weights were made with\n"
    )


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\x00", "[" * 5000])
def test_a_damaged_note_of_weights_is_refused_by_name(content, tmp_path):
    cases = cohort(tmp_path, "ab")
    weights = model(tmp_path, cases)
    Path(weights).with_suffix(".json").write_text(content)
    with pytest.raises(SemclError, match=r"(?s)model\.json cannot be used.*the note a stage writes beside its weights"):
        require_unseen(cases, str(tmp_path), TABLE, [weights])


def test_the_coarse_network_is_checked_only_where_a_map_is_missing(tmp_path):
    weights, cases = model(tmp_path, cohort(tmp_path, "ab")), cohort(tmp_path, "c")
    given = (cases, str(tmp_path), TABLE, (), [str(tmp_path / "attention")], weights)
    require_unseen(*given)
    attention_path(tmp_path / "attention", "scan_c").unlink()
    with pytest.raises(SemclError, match="case scan_c: a patient who is tested"):
        require_unseen(*given)


# folders of maps


def test_the_coarse_network_is_checked_where_given_maps_lack_organs(tmp_path):
    cases = cohort(tmp_path, "ab")
    seen = model(tmp_path, cohort(tmp_path, "c"))
    cases = cohort(tmp_path, "ab")
    require_unseen(cases, str(tmp_path), TABLE, [], [str(tmp_path / "attention")], seen)
    with pytest.raises(SemclError, match="a patient who is tested is one that was learnt from"):
        require_unseen(cases, str(tmp_path), TABLE, [], [str(tmp_path / "attention")], seen, lacking=True)


def test_attention_of_another_split_is_refused(tmp_path):
    attention = str(tmp_path / "attention")
    before = cohort(tmp_path, "ab")
    note_attention(attention, provenance(ORIGIN, before, TABLE))
    require_split(attention, str(tmp_path), TABLE)
    assert not stale_maps(attention, learnt_from(tmp_path, TABLE))
    after = cohort(tmp_path, "bc")
    match = (
        rf"(?s)another split of the cohort.*{digest(before)} in .*attention\.json.*{digest(after)}.*run coarse\.yaml"
    )
    with pytest.raises(SemclError, match=match):
        require_split(attention, str(tmp_path), TABLE)
    assert stale_maps(attention, learnt_from(tmp_path, TABLE))


def test_a_cohort_that_scans_were_added_to_learns_on_from_what_it_has(tmp_path):
    attention, before = str(tmp_path / "attention"), cohort(tmp_path, "ab")
    note_attention(attention, provenance(ORIGIN, before, TABLE))
    weights = Path(model(tmp_path, before))
    more = [*before, replace(before[-1], id="new", patient="new", label=None)]
    datalist.save(more, tmp_path, extends=extended(tmp_path, more))
    require_split(attention, str(tmp_path), TABLE)
    accepted = learnt_from(tmp_path, replace(TABLE, phases=(*TABLE.phases, "unknown")))
    assert not stale_maps(attention, accepted)
    load_weights(weights, nn.Linear(1, 1), "pretrain.yaml", accepted)
    cohort(tmp_path, "bc")
    with pytest.raises(SemclError, match=r"model\.pt was made from another cohort"):
        load_weights(weights, nn.Linear(1, 1), "pretrain.yaml", learnt_from(tmp_path, TABLE))
    with pytest.raises(SemclError, match=r"model\.pt was made from other organs"):
        load_weights(weights, nn.Linear(1, 1), "x", {"organs": ["another"]})


def test_attention_of_other_organs_is_refused(tmp_path):
    note_attention(tmp_path / "attention", provenance(ORIGIN, cohort(tmp_path, "ab"), TABLE))
    with pytest.raises(SemclError, match="organs of another label table"):
        require_split(str(tmp_path / "attention"), str(tmp_path), replace(TABLE, organs=TABLE.organs[::-1]))


def test_attention_made_elsewhere_is_accepted(tmp_path):
    cohort(tmp_path, "ab")
    require_split(str(tmp_path / "attention"), str(tmp_path), TABLE)
    require_split(str(tmp_path / "nowhere"), str(tmp_path), TABLE)


def test_a_study_learns_from_the_maps_of_the_cohort_it_splits_anew(tmp_path):
    cases = cohort(tmp_path, "ab")
    attention = str(tmp_path / "attention")
    note_attention(attention, provenance(ORIGIN, cases, TABLE))
    for name, members in split_cases(cases, 3).items():
        folder = tmp_path / "study" / name
        write_datalist(members, folder, TABLE, cases)
        require_split(attention, str(folder), TABLE)
        require_unseen(datalist.load(folder, "testing"), str(folder), TABLE, folders=[attention])
    other = cohort(tmp_path, "bc")
    for name, members in split_cases(other, 3).items():
        folder = tmp_path / "study" / name
        write_datalist(members, folder, TABLE, other)
        with pytest.raises(SemclError, match="another split of the cohort"):
            require_split(attention, str(folder), TABLE)


def test_weights_and_predictions_of_a_cohort_are_no_good_for_a_patient_whom_another_split_of_it_tests(tmp_path):
    cases = cohort(tmp_path, "ab")
    weights = model(tmp_path, cases)
    (tmp_path / "attention" / "predictions.json").write_text(
        json.dumps({"made_by": [provenance(ORIGIN, cases, TABLE)]})
    )
    (name, members), *_ = split_cases(cases, 3).items()
    write_datalist(members, tmp_path / name, TABLE, cases)
    tested = datalist.load(tmp_path / name, "testing")
    assert {case.patient for case in tested} - {"a", "b"}
    for given in ({"weights": [weights]}, {"folders": [str(tmp_path / "attention")]}):
        with pytest.raises(SemclError, match="a patient who is tested is one that was learnt from"):
            require_unseen(tested, str(tmp_path / name), TABLE, **given)
    own = provenance(ORIGIN, members, TABLE)
    Path(weights).with_suffix(".json").write_text(json.dumps(own))
    require_unseen(tested, str(tmp_path / name), TABLE, weights=[weights])


@pytest.mark.parametrize("name", ["attention.json", "predictions.json"])
def test_maps_of_an_earlier_split_are_not_evaluated(name, tmp_path):
    note = provenance(ORIGIN, cohort(tmp_path, "ab"), TABLE)
    content = note if name == "attention.json" else {"made_by": [note], "scans": {}}
    (tmp_path / "attention" / name).write_text(json.dumps(content))
    cases = cohort(tmp_path, "bc")
    given = (str(tmp_path), TABLE, (), [str(tmp_path / "attention")])
    require_unseen([case for case in cases if case.id == "scan_b"], *given)
    with pytest.raises(SemclError, match=rf"(?s)case scan_c: a patient who is tested.*{name}"):
        require_unseen(cases, *given)


@pytest.mark.parametrize("content", ["{", "[1]", '{"made_by": 3}', '{"made_by": [3]}'])
def test_a_damaged_note_of_predictions_is_refused_by_name(content, tmp_path):
    cases = cohort(tmp_path, "ab")
    (tmp_path / "attention" / "predictions.json").write_text(content)
    with pytest.raises(SemclError, match=r"predictions\.json cannot be used"):
        require_unseen(cases, str(tmp_path), TABLE, folders=[str(tmp_path / "attention")])


def test_a_patient_of_the_cohort_before_the_one_that_weights_began_with_is_not_tested(tmp_path):
    first, other = cohort(tmp_path, "ab"), cohort(tmp_path / "other", "xy", "uvwxyz")
    weights = model(tmp_path, first)
    require_start_unseen(str(tmp_path / "other"), [weights])
    note = provenance(ORIGIN, other, TABLE, [weights])
    assert provenance(ORIGIN, other, TABLE, [weights, weights, str(tmp_path / "none.pt")]) == note
    second = tmp_path / "other" / "models" / "model.pt"
    save_weights(second, nn.Linear(1, 1), note)
    cohort(tmp_path, "bc")
    match = rf"(?s)case scan_c: a patient who is tested.*of cohort {digest(first)}, whose weights it began with"
    for cases in (datalist.load(tmp_path), datalist.load(tmp_path, "training")):
        with pytest.raises(SemclError, match=match):
            require_unseen(cases, str(tmp_path), TABLE, [str(second)])
    with pytest.raises(SemclError, match=match):
        require_start_unseen(str(tmp_path), [str(second)])
    cohort(tmp_path, "ab")
    require_unseen(datalist.load(tmp_path), str(tmp_path), TABLE, [str(second)])
    third = provenance(ORIGIN, cohort(tmp_path / "third", "m", "lmn"), TABLE, [str(second)])
    assert [one["cohort"] for one in third["before"]] == [digest(other), digest(first)]


def test_a_damaged_note_of_what_weights_began_with_is_refused_by_name(tmp_path):
    cases = cohort(tmp_path, "ab")
    weights = Path(model(tmp_path, cases))
    weights.with_suffix(".json").write_text(json.dumps({"organs": TABLE.organs_digest(), "before": [3]}))
    with pytest.raises(SemclError, match=r"(?s)model\.json cannot be used.*before is not a list"):
        require_start_unseen(str(tmp_path), [str(weights)])
