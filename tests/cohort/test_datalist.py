"""The datalist: what it finds in a folder, what it refuses, and what it writes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.case import Case
from scripts.cohort.volume import read, read_label
from scripts.errors import SemclError
from tests.conftest import write_nifti


def scan(path, shape=(2, 3, 4)):
    return write_nifti(path, np.zeros(shape, np.int16))


def listed(folder, training=(), testing=()):
    """Write a datalist and the image of each entry, and return the folder."""
    for entry in (*training, *testing):
        scan(folder / entry["image"])
    (folder / "datalist.json").write_text(json.dumps({"training": list(training), "testing": list(testing)}))
    return folder


def test_a_link_keeps_its_own_name(tmp_path):
    stored = scan(tmp_path / "store" / "a.nii.gz")
    hashed = stored.rename(stored.with_name("45249bd5"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.nii.gz").symlink_to(hashed)
    case = Case("a", "a", "portal", tmp_path / "images" / "a.nii.gz", None, 0)
    datalist.save([case], tmp_path / "cohort")
    (made,) = json.loads((tmp_path / "cohort" / "datalist.json").read_text())["training"]
    assert made["image"] == str(tmp_path / "images" / "a.nii.gz")


def entry(case, patient=None, **more):
    return {"case": case, "patient": patient or case, "phase": "portal", "image": f"{case}.nii.gz"} | more


def test_a_plain_folder_is_a_cohort_of_testing_cases(tmp_path):
    for name in ("b.nii", "a.nii.gz"):
        scan(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no volume")
    cases = datalist.load(tmp_path)
    assert cases == [
        Case("a", "a", "unknown", tmp_path / "a.nii.gz"),
        Case("b", "b", "unknown", tmp_path / "b.nii"),
    ]
    assert datalist.load(tmp_path, "testing") == cases


def test_a_missing_folder_is_named(tmp_path):
    match = r"(?s)dataset_dir is not a folder.*found: +\S+/nowhere\n.*a folder with datalist\.json.*--dataset_dir"
    with pytest.raises(SemclError, match=match):
        datalist.load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [None, {}, {"training": [], "testing": []}])
def test_a_folder_without_cases_is_refused(tmp_path, content):
    (tmp_path / "notes.txt").write_text("no volume")
    if content is not None:
        (tmp_path / "datalist.json").write_text(json.dumps(content))
    match = rf"(?s)dataset_dir holds no cases.*found: .*{tmp_path}\n.*files ending in \.nii\.gz.*make a cohort"
    with pytest.raises(SemclError, match=match):
        datalist.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"training": [', "JSONDecodeError"),
        ("[]", "AttributeError"),
        ('{"testing": ["a.nii.gz"]}', "TypeError"),
        ('{"testing": null}', "TypeError"),
        ('{"testing": [{"patient": "p", "image": "a.nii.gz"}]}', "KeyError 'case'"),
        ('{"testing": [{"case": "a", "image": "a.nii.gz"}]}', "KeyError 'patient'"),
        ('{"testing": [{"case": "a", "patient": "p"}]}', "KeyError 'image'"),
        ('{"testing": [{"case": "a", "patient": "p", "image": 1}]}', "TypeError"),
        ('{"training": [{"case": "a", "patient": "p", "image": "a.nii.gz"}]}', "KeyError 'fold'"),
        ('{"training": [{"case": "a", "patient": "p", "image": "a.nii.gz", "fold": "x"}]}', "ValueError"),
    ],
)
def test_an_invalid_datalist_is_named(tmp_path, text, reason):
    (tmp_path / "datalist.json").write_text(text)
    with pytest.raises(SemclError, match="the datalist cannot be understood") as raised:
        datalist.load(tmp_path)
    assert raised.value.found.startswith(f"{tmp_path / 'datalist.json'}: {reason}")
    assert "training and testing lists of {case, patient, phase" in raised.value.expected
    assert "prepare" in raised.value.remedy


def test_a_case_without_a_phase_is_of_unknown_phase(tmp_path):
    folder = listed(tmp_path, testing=[{"case": "a", "patient": "p", "image": "a.nii.gz"}])
    assert datalist.load(folder) == [Case("a", "p", "unknown", folder / "a.nii.gz")]


def test_every_missing_file_of_the_datalist_is_named(tmp_path):
    folder = listed(tmp_path, testing=[entry("a", label="labels/a.nii.gz"), entry("b"), entry("c")])
    (folder / "b.nii.gz").unlink()
    with pytest.raises(SemclError, match="2 problems in the cohort") as raised:
        datalist.load(folder)
    assert f"case a: a file of the datalist is missing\n  found:    no {folder}/labels/a.nii.gz" in str(raised.value)
    assert f"case b: a file of the datalist is missing\n  found:    no {folder}/b.nii.gz" in str(raised.value)
    assert "case c" not in str(raised.value)
    assert "restore it" in str(raised.value)


def test_files_of_another_section_may_be_missing(tmp_path):
    folder = listed(tmp_path, training=[entry("a", fold=0)], testing=[entry("b")])
    (folder / "b.nii.gz").unlink()
    assert [case.id for case in datalist.load(folder, "training")] == ["a"]


@pytest.mark.parametrize(
    ("training", "testing", "sides"),
    [
        ([entry("a1", "p7", fold=0), entry("a2", "p7", fold=1)], [], "['0', '1']"),
        ([entry("a1", "p7", fold=0)], [entry("a2", "p7")], "['0', 'None']"),
    ],
    ids=["two folds", "training and testing"],
)
def test_a_patient_on_two_sides_of_a_split_is_named(tmp_path, training, testing, sides):
    folder = listed(tmp_path, [*training, entry("b", "p8", fold=0)], testing)
    for section in ("all", "training"):
        with pytest.raises(SemclError, match="a patient is on two sides of a split") as raised:
            datalist.load(folder, section)
        assert raised.value.found == f"patient p7 in folds {sides}"
        assert "all scans of a patient in one fold" in raised.value.expected
        assert "splits by patient" in raised.value.remedy


def test_a_missing_label_map_is_an_error_only_where_one_is_needed(tmp_path):
    folder = listed(tmp_path, testing=[entry("a")])
    assert datalist.load(folder)[0].label is None
    match = r"(?s)case a: an image without a label map.*only \S+/a\.nii\.gz.*expected: a label map.*add the label map"
    with pytest.raises(SemclError, match=match):
        datalist.load(folder, need_label=True)


def test_a_section_holds_its_cases_alone(tmp_path):
    scan(tmp_path / "l.nii.gz")
    folder = listed(tmp_path, [entry("a", fold=0), entry("b", fold=1, label="l.nii.gz")], [entry("c")])
    sections = {section: [case.id for case in datalist.load(folder, section)] for section in datalist.WANTED}
    assert sections == {"all": ["a", "b", "c"], "training": ["a", "b"], "testing": ["c"], "unlabelled": ["a"]}


def test_an_empty_section_is_named(tmp_path):
    folder = listed(tmp_path, testing=[entry("c")])
    match = r"(?s)the cohort has no training cases.*none under 'training' in \S+/datalist\.json.*--test_share"
    with pytest.raises(SemclError, match=match):
        datalist.load(folder, "training")


def test_a_saved_datalist_is_loaded_as_it_was(tmp_path):
    folder = tmp_path / "cohort"
    cases = [
        Case("a", "p1", "portal", scan(folder / "images/a.nii.gz"), scan(folder / "labels/a.nii.gz"), fold=1),
        Case("b", "p2", "noncontrast", scan(tmp_path / "elsewhere/b.nii"), scan(folder / "labels/b.nii"), fold=0),
        Case("c", "p3", "portal", scan(folder / "images/c.nii.gz")),
    ]
    datalist.save(cases, folder)
    assert datalist.load(folder) == cases


def test_files_inside_the_folder_move_with_it_and_files_outside_stay(tmp_path):
    folder = tmp_path / "cohort"
    inside, outside = scan(folder / "images/a.nii.gz"), scan(tmp_path / "elsewhere/a.nii.gz")
    datalist.save([Case("a", "p", "portal", inside, outside, fold=0)], folder)
    (kept,) = json.loads((folder / "datalist.json").read_text())["training"]
    assert kept["image"] == "images/a.nii.gz"
    assert kept["label"] == str(outside)
    (moved,) = datalist.load(shutil.move(folder, tmp_path / "moved"))
    assert (moved.image, moved.label) == (tmp_path / "moved/images/a.nii.gz", outside)


def test_paths_given_from_the_working_directory_are_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cases = [Case("a", "a", "portal", scan(Path("cohort/a.nii"))), Case("b", "b", "portal", scan(Path("far/b.nii")))]
    datalist.save(cases, Path("cohort"))
    assert [case.image.resolve() for case in datalist.load("cohort")] == [case.image.resolve() for case in cases]


def test_the_label_map_of_a_case_is_read_as_object_numbers(table, tmp_path):
    stored = np.random.default_rng(0).choice([0, 2, 5, 9], size=(4, 3, 2)).astype(np.uint8)
    image, label = scan(tmp_path / "image.nii.gz", stored.shape), write_nifti(tmp_path / "label.nii.gz", stored)
    case = Case("a", "a", "portal", image, label)
    objects = read_label(case, read(image, "a"), table)
    np.testing.assert_array_equal(objects, np.vectorize({0: 0, 5: 1, 2: 2, 9: 3}.get)(stored))


def test_a_case_without_a_label_map_is_refused(table, tmp_path):
    image = scan(tmp_path / "a.nii.gz")
    with pytest.raises(SemclError, match=r"(?s)case a: an image without a label map.*found: +only .*a label map:"):
        read_label(Case("a", "a", "portal", image), read(image, "a"), table)


def test_a_case_listed_twice_is_refused(cohort):
    content = json.loads((cohort / "datalist.json").read_text())
    entry = content["training"][0]
    content["training"].append(entry)
    (cohort / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(SemclError, match=f"case {entry['case']}: a case is listed twice"):
        datalist.load(cohort)


def test_an_unknown_section_is_refused(cohort):
    with pytest.raises(SemclError, match="one of training, testing, unlabelled, all"):
        datalist.load(cohort, "train")


def test_cases_become_entries_of_a_monai_datalist(tmp_path):
    listed(tmp_path, [entry("a", "one", fold=0, label="a.nii.gz")], [entry("b")])
    image = str(tmp_path / "a.nii.gz")
    assert datalist.datalist_entries(datalist.load(tmp_path)) == [
        {"case": "a", "patient": "one", "image": image, "label": image},
        {"case": "b", "patient": "b", "image": str(tmp_path / "b.nii.gz")},
    ]
