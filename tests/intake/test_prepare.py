"""Intake: scans become a cohort if all checks pass; otherwise nothing is written."""

import csv
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.header import read_header
from scripts.cohort.label_table import LabelTable
from scripts.cohort.lineage import cohort_states
from scripts.errors import SemclError
from scripts.intake.prepare import prepare_cohort
from tests.conftest import write_nifti
from tests.faults.inputs import write_dicom

SHAPE = (4, 5, 6)


def ct(number):
    """Voxels of HU that no other number has."""
    return np.random.default_rng(number).integers(-1000, 1000, SHAPE).astype(np.int16)


@pytest.fixture
def folders(tmp_path):
    """Images and label maps of the cases a to f, and where the cohort goes."""
    for case in "abcdef":
        write_nifti(tmp_path / f"images/{case}.nii.gz", ct(ord(case)))
        write_nifti(tmp_path / f"labels/{case}.nii.gz", np.full(SHAPE, 5, np.uint8))
    return tmp_path / "images", tmp_path / "labels", tmp_path / "cohort"


def write_cases(path, rows, columns=("case", "patient", "phase")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_a_prepared_cohort_is_loaded_as_it_was_made(folders, table, tmp_path):
    images, labels, out = folders
    listed = write_cases(tmp_path / "cases.csv", [(case, f"p{case}", "portal") for case in "abcdef"])
    made = prepare_cohort(images, labels, table, out, listed, folds=2)
    assert sorted(datalist.load(out, need_label=True), key=lambda case: case.id) == made
    assert LabelTable.load(out) == table


def test_an_image_is_paired_with_the_label_map_of_its_case_id(tmp_path, table):
    values = {"scan10": 5, "scan2": 2, "scan1": 9, "scan-1": 2}
    suffixes = dict(zip(values, (".nii", ".nii.gz", ".nii", ".nii.gz"), strict=True))
    for case, value in values.items():
        write_nifti(tmp_path / f"images/{case}.nii.gz", ct(len(case) * 10 + value))
        write_nifti(tmp_path / f"labels/{case}{suffixes[case]}", np.full(SHAPE, value, np.uint8))
    made = prepare_cohort(tmp_path / "images", tmp_path / "labels", table, tmp_path / "cohort", folds=2)
    assert {case.id for case in made} == set(values)
    for case in made:
        image, label = np.asarray(nib.load(case.image).dataobj), np.asarray(nib.load(case.label).dataobj)
        np.testing.assert_array_equal(image, ct(len(case.id) * 10 + values[case.id]))
        assert label.max() == values[case.id]


def test_as_many_label_maps_of_other_cases_do_not_pair(folders, table):
    images, labels, out = folders
    (labels / "a.nii.gz").rename(labels / "g.nii.gz")
    (labels / "c.nii.gz").rename(labels / "h.nii.gz")
    with pytest.raises(SemclError, match="4 problems in the cohort") as raised:
        prepare_cohort(images, labels, table, out)
    for case in "ac":
        assert f"case {case}: image without label map\n  found:    only {images}/{case}.nii.gz" in str(raised.value)
    for case in "gh":
        assert f"case {case}: label map without image\n  found:    only {labels}/{case}.nii.gz" in str(raised.value)
    assert "expected: a label map of the same name\n  do this:  add the label map" in str(raised.value)
    assert not out.exists()


def test_all_errors_of_the_label_maps_are_reported_at_once(folders, table):
    images, labels, out = folders
    moved = np.eye(4)
    moved[0, 3] = 0.5
    write_nifti(labels / "a.nii.gz", np.full((4, 5, 7), 5, np.uint8))
    write_nifti(labels / "b.nii.gz", np.full(SHAPE, 5, np.uint8), moved)
    write_nifti(labels / "c.nii.gz", np.full(SHAPE, 7, np.uint8))
    write_nifti(labels / "d.nii.gz", np.full(SHAPE, 4.5, np.float32))
    (images / "e.nii.gz").write_bytes(b"no volume")
    with pytest.raises(SemclError, match="5 problems in the cohort") as raised:
        prepare_cohort(images, labels, table, out)
    message = str(raised.value)
    assert (
        f"case a: image and label map differ in shape\n  found:    image 4 x 5 x 6, {labels}/a.nii.gz 4 x 5 x 7"
        in message
    )
    place = f"the first voxel of {labels}/b.nii.gz lies up to 0.5 mm off along an axis"
    assert f"case b: image and label map differ in position\n  found:    {place}" in message
    outside = f"7 in {labels}/c.nii.gz\n  expected: 0 or one of 5, 2, 9"
    assert f"case c: label values outside the label table\n  found:    {outside}" in message
    broken = f"label map {labels}/d.nii.gz: 120 voxels, such as 4.5"
    assert f"case d: label values that are not whole numbers\n  found:    {broken}\n" in message
    assert f"case e: a volume cannot be read\n  found:    image {images}/e.nii.gz: " in message
    assert "case f" not in message
    assert "fix each as described" in message
    assert not out.exists()


def test_one_problem_is_raised_as_itself(folders, table):
    images, labels, out = folders
    write_nifti(labels / "b.nii.gz", np.full(SHAPE, 7, np.uint8))
    with pytest.raises(SemclError, match=r"\Acase b: label values outside the label table\n  found:    7 in "):
        prepare_cohort(images, labels, table, out)
    assert not out.exists()


def test_a_label_map_stored_in_another_orientation_fits(folders, table):
    images, labels, out = folders
    flipped = np.diag([-1.0, -1, 1, 1])
    flipped[:2, 3] = SHAPE[0] - 1, SHAPE[1] - 1
    write_nifti(labels / "a.nii.gz", np.full(SHAPE, 5, np.uint8), flipped)
    assert len(prepare_cohort(images, labels, table, out)) == 6


@pytest.mark.parametrize("lacking", ["images", "labels"])
def test_a_folder_that_is_not_there_is_named(folders, table, lacking):
    given = dict(zip(("images", "labels"), folders[:2], strict=True)) | {lacking: folders[2] / "nowhere"}
    match = r"(?s)a folder is missing.*found: +\S+/nowhere\n.*expected: a folder of volumes.*check the path"
    with pytest.raises(SemclError, match=match):
        prepare_cohort(given["images"], given["labels"], table, folders[2])


def test_a_folder_without_volumes_is_named(tmp_path, table):
    (tmp_path / "notes.txt").write_text("no volume")
    match = rf"(?s)no volumes to prepare.*none in {tmp_path}\n.*files ending in \.nii\.gz.*check --images"
    with pytest.raises(SemclError, match=match):
        prepare_cohort(tmp_path, None, table, tmp_path / "cohort")


def test_without_label_maps_all_cases_are_testing_cases(folders, table):
    images, _, out = folders
    made = prepare_cohort(images, None, table, out, folds=3)
    assert [(case.id, case.label, case.fold) for case in made] == [(case, None, None) for case in "abcdef"]
    assert datalist.load(out, "testing") == made


def test_without_a_table_of_cases_each_is_a_patient_in_a_phase_of_its_own(folders, table):
    made = prepare_cohort(*folders[:2], table, folders[2], folds=2)
    assert [(case.patient, case.phase) for case in made] == [(case, "unknown") for case in "abcdef"]
    assert LabelTable.load(folders[2]).phases == ("noncontrast", "portal", "unknown")


def test_the_only_phase_of_a_table_is_assumed(folders, table):
    made = prepare_cohort(*folders[:2], replace(table, phases=("mr",)), folders[2], folds=2)
    assert {case.phase for case in made} == {"mr"}
    assert LabelTable.load(folders[2]).phases == ("mr",)


def test_an_allowed_finding_leaves_out_what_no_stage_could_use(folders, table):
    images, labels, out = folders
    (labels / "a.nii.gz").unlink()
    write_nifti(images / "b.nii.gz", np.full(SHAPE, 7, np.int16))
    made = prepare_cohort(images, labels, table, out, folds=2, allowed=("image_without_label", "constant_image"))
    assert [case.id for case in made] == list("bcdef")


def test_the_folds_of_a_table_are_kept(folders, table, tmp_path):
    sides = dict(zip("abcdef", ["0", "0", "1", "test", "test", "3"], strict=True))
    rows = [(case, f"p{case}", "portal", side) for case, side in sides.items()]
    listed = write_cases(tmp_path / "cases.csv", rows, ("case", "patient", "phase", "fold"))
    made = prepare_cohort(*folders[:2], table, folders[2], listed)
    assert [case.fold for case in made] == [0, 0, 1, None, None, 3]
    write_cases(listed, [*rows[:-1], ("f", "pf", "portal", "")], ("case", "patient", "phase", "fold"))
    with pytest.raises(SemclError, match=r"(?s)case f: column fold is not filled in.*a number or test for each case"):
        prepare_cohort(*folders[:2], table, folders[2], listed)


def test_masks_of_a_subject_become_one_label_map(tmp_path, table):
    for number, case in enumerate(("s1", "s2")):
        write_nifti(tmp_path / f"data/{case}/ct.nii.gz", ct(number), np.diag([-1.0, 1, 1, 1]))
        for name, part in {"liver": slice(0, 2), "kidney_left": slice(2, 4), "skull": slice(0, 4)}.items():
            mask = np.zeros(SHAPE, np.uint8)
            mask[part] = 1
            file = tmp_path / f"data/{case}/segmentations/{name}.nii.gz"
            write_nifti(file, mask, np.diag([-1.0, 1, 1, 1]))
    out = tmp_path / "cohort"
    prepare_cohort(tmp_path / "data", None, table, out, folds=2, test_share=0)
    cases = datalist.load(out, "training", need_label=True)
    assert [(case.id, case.annotated) for case in cases] == [(case, ("liver", "left_kidney")) for case in ("s1", "s2")]
    for case in cases:
        merged = nib.load(case.label)
        np.testing.assert_array_equal(merged.affine, np.diag([-1.0, 1, 1, 1]))
        voxels = np.asarray(merged.dataobj)
        assert (np.unique(voxels[:2]), np.unique(voxels[2:])) == (5, 9)


def test_the_table_of_cases_gives_patient_and_phase(folders, table, tmp_path):
    rows = [(case, f"p{number // 2}", table.phases[number % 2]) for number, case in enumerate("abcdef")]
    listed = write_cases(tmp_path / "cases.csv", [*reversed(rows), ("unused", "p9", "portal")])
    made = prepare_cohort(*folders[:2], table, folders[2], listed, folds=2)
    assert [(case.id, case.patient, case.phase) for case in made] == rows


def test_scans_the_table_of_cases_does_not_list_are_named_beside_other_problems(folders, table, tmp_path):
    images, labels, out = folders
    listed = write_cases(tmp_path / "cases.csv", [*((case, case, "portal") for case in "bcd"), ("e", "e", "arterial")])
    with pytest.raises(SemclError, match="3 problems in the cohort") as raised:
        prepare_cohort(images, labels, table, out, listed)
    for case in "af":
        unlisted = f"case {case}: a scan that is not in the table of cases\n  found:    {images}/{case}.nii.gz"
        assert f"{unlisted}\n  expected: a row in {listed}\n  do this:  add the row" in str(raised.value)
    assert "case e: a phase that is not in the label table\n  found:    arterial" in str(raised.value)
    assert not out.exists()


@pytest.mark.parametrize(
    ("rows", "columns", "found"),
    [
        ([("a", "p")], ("case", "patient"), "{} with columns case, patient"),
        ([("a", "p", "portal")], ("Case", "patient", "phase"), "{} with columns Case, patient, phase"),
        ([], ("case", "patient", "phase"), "no rows in {}"),
    ],
)
def test_a_table_of_cases_without_its_columns_or_rows_is_refused(folders, table, tmp_path, rows, columns, found):
    listed = write_cases(tmp_path / "cases.csv", rows, columns)
    with pytest.raises(SemclError, match="the table of cases cannot be used") as raised:
        prepare_cohort(*folders[:2], table, folders[2], listed)
    assert raised.value.found == found.format(listed)
    assert "columns case, patient, phase" in raised.value.expected
    assert raised.value.remedy == "correct the CSV"


def test_a_table_of_cases_that_is_not_there_is_named(folders, table, tmp_path):
    match = r"(?s)the table of cases cannot be used.*no file \S+/cases\.csv\n.*a file\n.*check the path"
    with pytest.raises(SemclError, match=match):
        prepare_cohort(*folders[:2], table, folders[2], tmp_path / "cases.csv")


def test_a_table_of_cases_may_begin_as_spreadsheets_write_it(folders, table, tmp_path):
    listed = write_cases(tmp_path / "cases.csv", [(case, f"p{case}", "portal") for case in "abcdef"])
    listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes())
    made = prepare_cohort(*folders[:2], table, folders[2], listed)
    assert [case.patient for case in made] == [f"p{case}" for case in "abcdef"]


@pytest.mark.parametrize(("folds", "share", "tested"), [(7, 0.0, 0), (3, 0.6, 4), (4, 0.5, 3)])
def test_too_few_patients_for_the_folds_are_counted(folders, table, folds, share, tested):
    with pytest.raises(SemclError, match="too few patients to train on") as raised:
        prepare_cohort(*folders[:2], table, folders[2], folds=folds, test_share=share)
    assert raised.value.found == f"6 patients, {tested} of them kept for testing"
    assert raised.value.expected == f"at least {folds} training patients, one per fold"
    assert "lower --folds or --test_share" in raised.value.remedy
    assert not folders[2].exists()


@pytest.mark.parametrize("line", ["b,,portal", "b,ann", "a,bob,portal"])
def test_a_line_of_the_table_of_cases_must_be_complete_and_its_case_unique(line, tmp_path, table):
    for case in ("a", "b"):
        write_nifti(tmp_path / "images" / f"{case}.nii.gz", np.zeros((4, 4, 4), np.float32))
    (tmp_path / "cases.csv").write_text(f"case,patient,phase\na,ann,portal\n{line}\n")
    with pytest.raises(SemclError, match=r"(?s)line 3 of .*no case twice"):
        prepare_cohort(tmp_path / "images", None, table, tmp_path / "out", tmp_path / "cases.csv")


def test_scans_added_to_a_cohort_leave_its_patients_where_they_are(folders, table, tmp_path):
    images, labels, out = folders
    before = {case.id: case.fold for case in prepare_cohort(images, labels, table, out, folds=2)}
    for case in "ghijkl":
        write_nifti(images / f"{case}.nii.gz", ct(ord(case)))
        write_nifti(labels / f"{case}.nii.gz", np.full(SHAPE, 5, np.uint8))
    after = {case.id: case.fold for case in prepare_cohort(images, labels, table, out, folds=2)}
    assert {case: after[case] for case in before} == before
    assert len(cohort_states(out)) == 2
    prepare_cohort(images, labels, table, out, folds=2, seed=1)
    assert len(cohort_states(out)) == 1, "another seed is another split"


def test_a_patient_of_dicom_scans_stays_where_he_is_when_one_comes_that_sorts_first(table, tmp_path):
    images, labels, out = (tmp_path / name for name in ("images", "labels", "cohort"))

    def add(person, phase, seed):
        path = write_dicom(images / person / phase, ct(seed), tags={"0010|0020": f"id of {person}"})
        label = np.full(read_header(path).shape, 5, np.uint8)
        write_nifti(labels / f"{person}_{phase}.nii.gz", label, read_header(path).affine)

    for seed, person in enumerate("abcd"):
        add(person, "portal", seed)
    before = prepare_cohort(images, labels, table, out, folds=2, test_share=0.5)
    for seed, person in enumerate("abcd", start=4):
        add(person, "arterial", seed)
    after = prepare_cohort(images, labels, table, out, folds=2, test_share=0.5)
    sides = {case.patient: case.fold for case in before}
    assert sorted(sides) == [f"{person}_portal" for person in "abcd"]
    assert {case.id: (case.patient, case.fold) for case in after} == {
        f"{person}_{phase}": (f"{person}_portal", sides[f"{person}_portal"])
        for person in "abcd"
        for phase in ("arterial", "portal")
    }
    assert len(cohort_states(out)) == 2


@pytest.mark.parametrize("some", ["", "ab"])
def test_scans_that_are_labelled_later_are_split_as_if_they_had_been_from_the_start(folders, table, tmp_path, some):
    images, labels, out = folders
    for case in some:
        (tmp_path / "more").mkdir(exist_ok=True)
        (images / f"{case}.nii.gz").rename(tmp_path / f"more/{case}.nii.gz")
    more = tmp_path / "more" if some else None
    bare = prepare_cohort(images, None, table, out, folds=2, unlabelled=more)
    assert {case.id for case in bare if case.fold is None} == set("abcdef") - set(some)
    for case in some:
        (tmp_path / f"more/{case}.nii.gz").rename(images / f"{case}.nii.gz")
    made = prepare_cohort(images, labels, table, out, folds=2)
    assert made == prepare_cohort(images, labels, table, tmp_path / "anew", folds=2)
    assert {case.fold for case in made} == {None, 0, 1}
