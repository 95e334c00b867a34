"""Auto3DSeg's input as a cohort: cases, folds, label table."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scripts.auto3dseg.source import class_groups, find_label_table, fold_cases, images_of, modality_of, overlap
from scripts.cohort.case import Case
from scripts.cohort.label_table import Organ
from scripts.errors import SemclError
from tests.conftest import write_nifti

STATS = {"stats_summary": {"label_stats": {"labels": [0, 1, 3]}}}


def source(folder, folds=(0, 0, 1, 1, 2), entry=None, **more):
    """An input whose datalist has one case per fold in ``folds``, the first of which ``entry`` changes."""
    training = [{"image": f"im/c{n}.nii.gz", "label": f"la/c{n}.nii.gz", "fold": fold} for n, fold in enumerate(folds)]
    training[0] |= entry or {}
    path = folder / "list.json"
    path.write_text(json.dumps({"training": training, **more.pop("datalist", {})}))
    return {"modality": "CT", "datalist": str(path), "dataroot": str(folder), **more}


@pytest.mark.parametrize(("given", "expected"), [("ct", "CT"), ("CT", "CT"), ("MRI", "MR"), ("mr", "MR")])
def test_a_modality_has_several_spellings(given, expected):
    assert modality_of({"modality": given}) == expected


@pytest.mark.parametrize("given", [{"modality": "pet"}, {}])
def test_an_unknown_modality_is_refused(given):
    with pytest.raises(SemclError, match=r"modality has no such value\n(.*\n)*.*one of ct, mr, mri"):
        modality_of(given)


def test_a_fold_is_kept_for_validation_and_the_others_are_for_cross_fitting(tmp_path):
    cases = fold_cases(source(tmp_path), 1, tmp_path)
    assert {case.id: case.fold for case in cases} == {
        "im_c0": 0,
        "im_c1": 0,
        "im_c4": 2,
        "im_c2": None,
        "im_c3": None,
    }
    assert cases[0].image == tmp_path / "im" / "c0.nii.gz"
    assert cases[0].label == tmp_path / "la" / "c0.nii.gz"


def test_a_single_other_fold_is_split_by_patient(tmp_path):
    given = source(tmp_path, folds=(0, 1, 1, 1, 1, 1), entry={"fold": 1, "patient": "one"})
    path = tmp_path / "list.json"
    content = json.loads(path.read_text())
    content["training"][1] |= {"patient": "one", "case": "second"}
    content["training"][5]["fold"] = 0
    path.write_text(json.dumps(content))
    cases = fold_cases(given, 0, tmp_path)
    folds = {case.id: case.fold for case in cases}
    assert folds["im_c5"] is None
    assert folds["im_c0"] == folds["second"]
    assert {fold for fold in folds.values() if fold is not None} == {0, 1, 2}
    assert cases == fold_cases(given, 0, tmp_path)


def test_entries_without_a_fold_are_trained_on(tmp_path):
    cases = fold_cases(source(tmp_path, folds=(None, None, 0, 1)), 0, tmp_path)
    assert {case.id for case in cases if case.fold is not None} == {"im_c0", "im_c1", "im_c3"}


@pytest.mark.parametrize(
    ("folds", "fold", "entry", "message"),
    [
        ((0, 1), 0, {"label": None}, "case im_c0: an image without a label map"),
        ((0, 0), 1, None, r"none to validate on\n  found:    0 of 2"),
        ((1, 1), 1, None, r"no case to train on, or .*\n  found:    2 of 2"),
        ((0, 1), 0, None, r"too few patients to train on\n  found:    1 outside fold 0"),
    ],
)
def test_a_datalist_that_cannot_be_trained_on_is_refused(tmp_path, folds, fold, entry, message):
    with pytest.raises(SemclError, match=message):
        fold_cases(source(tmp_path, folds, entry), fold, tmp_path)


def test_an_entry_may_be_a_path_or_a_list_of_paths():
    assert [images_of("a.nii"), images_of({"image": "a.nii"}), images_of({"image": ["a.nii"]})] == [["a.nii"]] * 3
    assert images_of({"image": ["a.nii", "b.nii"]}) == ["a.nii", "b.nii"]


def case(phase):
    return Case("one", "one", phase, Path("one.nii"), Path("one.nii"))


def table(folder, phase=None, **more):
    given = source(folder, entry={"phase": phase} if phase else None, **more)
    return find_label_table(given, [case(phase or "unknown")], STATS)


def test_the_label_table_of_the_input_comes_first(tmp_path):
    (tmp_path / "labels.yaml").write_text("organs: {spleen: 2, liver: 1}\nphases: [portal]")
    found = table(tmp_path, "native", label_table=str(tmp_path / "labels.yaml"), class_names=["other"])
    assert found.names == ("liver", "spleen")  # in the order of Auto3DSeg's classes
    assert found.phases == ("portal", "native")
    groups = [{"name": "liver", "index": [1]}, {"name": "spleen", "index": [2]}]
    assert table(tmp_path, label_table=str(tmp_path / "labels.yaml"), class_names=groups).names == found.names
    for differing in (groups[::-1], groups[:1], [groups[0], {"name": "both", "index": [1, 2]}]):
        with pytest.raises(SemclError, match="class_names and label_table of AutoRunner's input differ"):
            table(tmp_path, label_table=str(tmp_path / "labels.yaml"), class_names=differing)


@pytest.mark.parametrize(
    "names",
    [
        ["left_kidney", "tumour", "right_kidney"],
        ["background", "left_kidney", "tumour", "right_kidney"],
        ["Background", "left_kidney", "tumour", "right_kidney"],
        [{"name": "left_kidney"}, {"name": "tumour", "index": [2, 4]}, {"name": "right_kidney", "index": 3}],
    ],
)
def test_class_names_find_their_partners(tmp_path, names):
    found = table(tmp_path, class_names=names)
    assert found.organs == (
        Organ("left_kidney", 1, "right_kidney"), Organ("tumour", 2), Organ("right_kidney", 3, "left_kidney"),
    )  # fmt: skip
    assert found.phases == ("unknown",)


@pytest.mark.parametrize("labels", [{"0": "background", "1": "liver"}, {"background": 0, "liver": 1}])
def test_labels_of_the_datalist_may_be_keyed_by_name_or_number(tmp_path, labels):
    assert table(tmp_path, datalist={"labels": labels}).organs == (Organ("liver", 1),)


def test_without_names_organs_are_numbered(tmp_path):
    assert table(tmp_path).names == ("label_1", "label_2", "label_3")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"datalist": {"labels": {"a": 2}}}, r"organs are not numbered .*\n  found:    numbers 2"),
        ({"class_names": ["liver", "liver"]}, r"class_names holds a name twice\n  found:    liver"),
        ({"class_names": [{"name": "a", "index": "one"}]}, r"(?s)not whole numbers\n  found:    'one' of a"),
        ({"datalist": {"labels": {"whole": [1, 2]}}}, r"(?s)not whole numbers\n  found:    '\[1, 2\]' of whole"),
        ({"label_table": "nowhere.yaml"}, r"there is no label table\n  found:    no nowhere.yaml"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, more, message):
    with pytest.raises(SemclError, match=message):
        table(tmp_path, **more)


def test_label_maps_with_only_background_are_refused(tmp_path):
    given = source(tmp_path)
    with pytest.raises(SemclError, match="no organ is labelled"):
        find_label_table(given, [case("unknown")], {"stats_summary": {"label_stats": {"labels": [0]}}})


def test_other_groups_of_labels_and_another_order_of_modalities_are_not_taken_from_files_made_before(tmp_path):
    for number in range(2):
        for name in ("a", "b"):
            write_nifti(tmp_path / "im" / f"{name}{number}.nii.gz", np.full((3, 3, 3), "ab".index(name), np.float32))
        write_nifti(tmp_path / "la" / f"c{number}.nii.gz", np.full((3, 3, 3), 2, np.uint8))

    def made(order, classes):
        given = source(tmp_path, folds=(0, 1), class_names=classes)
        content = json.loads((tmp_path / "list.json").read_text())
        for number, entry in enumerate(content["training"]):
            entry |= {"case": f"c{number}", "image": [f"im/{name}{number}.nii.gz" for name in order]}
            entry["patient"] = f"p{number}"
        content["training"].append(content["training"][1] | {"case": "c2", "patient": "p2"})
        (tmp_path / "list.json").write_text(json.dumps(content))
        case = next(case for case in fold_cases(given, 0, tmp_path / "derived") if case.id == "c0")
        image, label = (np.asarray(nib.load(path).dataobj) for path in (case.image, case.label))
        return image[0, 0, 0].tolist(), int(label[0, 0, 0])

    assert made("ab", [{"name": "all", "index": [1, 2]}]) == ([0, 1], 1)
    assert made("ba", [{"name": "one", "index": [1]}, {"name": "two", "index": [2, 3]}]) == ([1, 0], 2)


@pytest.mark.parametrize(
    ("names", "groups", "overlapping"),
    [
        (["liver", "tumour"], {}, False),
        ([{"name": "background", "index": [0]}, {"name": "liver", "index": [1]}], {}, False),
        ([{"name": "whole", "index": [1, 2]}, {"name": "other", "index": 4}], {"whole": [1, 2], "other": [4]}, False),
        ([{"name": "whole", "index": [1, 2]}, {"name": "core", "index": [1]}], {"whole": [1, 2], "core": [1]}, True),
    ],
)
def test_labels_of_a_class_are_grouped_where_they_are_several_or_numbered_otherwise(names, groups, overlapping):
    assert class_groups({"class_names": names}) == groups
    assert overlap({"class_names": names}) == overlapping
