"""Drafts of label tables: from dataset.json, from names of masks, from values; read back as they are meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.intake.draft import Draft, draft
from tests.conftest import write_nifti


def read(made: Draft, folder: Path, *phases: str) -> LabelTable:
    (folder / "labels.yaml").write_text(made.text(phases))
    return LabelTable.read(folder / "labels.yaml")


def masks(folder: Path, *names: str, value: int = 1) -> Path:
    for name in names:
        write_nifti(folder / f"{name}.nii.gz", np.full((2, 2, 2), value, np.uint8))
    return folder


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "Left Kidney", "2": "Right Kidney", "4": "No"},
        {"background": 0, "Left Kidney": 1, "Right Kidney": 2, "No": 4},
    ],
    ids=["Decathlon", "nnU-Net"],
)
def test_the_names_of_a_data_set(labels: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    table = read(draft(tmp_path), tmp_path)
    assert [(organ.name, organ.index, organ.partner) for organ in table.organs] == [
        ("left_kidney", 1, "right_kidney"),
        ("right_kidney", 2, "left_kidney"),
        ("no", 4, None),
    ]
    assert draft(tmp_path / "dataset.json") == draft(tmp_path)


def test_two_organs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "ER+": 1, "ER-": 2}}))
    with pytest.raises(SemclError, match=r"(?s)two organs of one name.*'ER\+' \(1\) and 'ER-' \(2\).* 'er'"):
        draft(tmp_path)
    label = write_nifti(tmp_path / "maps" / "a.nii.gz", np.array([[[1, 2, 3]]], np.uint8))
    with pytest.raises(SemclError, match=r"'kidney' \(1\) and 'Kidney' \(2\)"):
        draft(label.parent, {1: "kidney", 2: "Kidney", 3: "liver"})
    with pytest.raises(SemclError, match="two organs of one name"):
        draft(masks(tmp_path / "masks", "left kidney", "left-kidney", "liver"))


def test_the_ignored_label_of_nnunet(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "ignore": 2}}))
    table = read(draft(tmp_path), tmp_path, "portal", "arterial")
    assert (table.names, table.ignore, table.phases) == (("liver",), 2, ("portal", "arterial"))


@pytest.mark.parametrize("labels", [{"background": 0, "whole": [1, 2]}, [], {}, None, {"1": 2.5}])
def test_a_data_set_that_names_no_organs_is_refused(labels: object, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(SemclError, match=r"(?s)dataset\.json does not name organs.*give --from the label maps"):
        draft(tmp_path)


def test_the_names_of_masks_in_one_folder(tmp_path: Path) -> None:
    made = draft(masks(tmp_path / "segmentations", "spleen", "kidney_right", "kidney_left"))
    assert made.organs == {"kidney_left": 1, "kidney_right": 2, "spleen": 3}
    assert read(made, tmp_path).organs[0].partner == "kidney_right"
    assert made.source == f"the names of 3 masks in {tmp_path / 'segmentations'}"


def test_the_names_of_masks_in_a_folder_a_scan(tmp_path: Path) -> None:
    for scan, names in {"s1": ("spleen", "liver"), "s2": ("liver", "aorta")}.items():
        masks(tmp_path / scan / "segmentations", *names)
        write_nifti(tmp_path / scan / "ct.nii.gz", np.zeros((2, 2, 2), np.int16))
    assert draft(tmp_path).organs == {"aorta": 1, "liver": 2, "spleen": 3}


def test_the_values_of_label_maps_and_names_for_some(tmp_path: Path) -> None:
    folder = masks(tmp_path / "labels", "case1", value=5)
    masks(folder, "case2", value=2)
    assert draft(tmp_path, {5: "Liver"}).organs == {"label_2": 2, "liver": 5}
    assert draft(folder / "case2.nii.gz").organs == {"label_2": 2}
    assert draft(folder).source == f"the values of 2 label maps in {folder}"


def test_what_is_no_label_map_is_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.full((2, 2, 2), 0.5, np.float32))
    with pytest.raises(SemclError, match=r"(?s)case a: .*not labels.*0\.5.*point --from at label maps"):
        draft(tmp_path)
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    with pytest.raises(SemclError, match="a volume cannot be read"):
        draft(tmp_path)
    masks(tmp_path, "a", value=0)
    with pytest.raises(SemclError, match=r"(?s)nothing to draft.*no organ in"):
        draft(tmp_path)


@pytest.mark.parametrize(("name", "found"), [("nowhere", "no "), (".", r"no dataset\.json and no volumes in")])
def test_nothing_is_named(name: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(SemclError, match=rf"(?s)nothing to draft.*{found}.*set --from"):
        draft(tmp_path / name)
