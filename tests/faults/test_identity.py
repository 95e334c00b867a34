"""Identities: invalid ids wherever they enter, and files of one split used with another."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from scripts.__main__ import prepare
from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from scripts.cohort.provenance import note_attention, provenance
from scripts.errors import SemclError
from scripts.evaluate.evaluation import name_methods
from scripts.evaluate.folders import cases_from_folders
from scripts.intake.splitting import split
from scripts.job.weights import save_weights
from tests.conftest import write_nifti
from tests.faults.inputs import Folder
from tests.stages import NO_SETTINGS, refusal

BAD_IDS = {
    "../../x": "it is a path",
    "/tmp/x": "it is a path",
    "a/b": "it is a path",
    "..\\x": "it is a path",
    "..": "it begins with a dot",
    ".hidden": "it begins with a dot",
    "": "it is empty",
    " ": "it is empty",
    "a ": "it begins or ends with a space",
    "a\x1b[31m": "characters that cannot be printed",
    "a\nb": "characters that cannot be printed",
    "a\x00": "characters that cannot be printed",
    "a\u202egpj": "characters that cannot be printed",
    "\udcff": "characters that cannot be printed",
    "=cmd|'/c calc'!A0": "it begins with =",
    "@SUM(A1)": "it begins with @",
    "+1": "it begins with +",
    "-1": "it begins with -",
    "con": "Windows keeps",
    "LPT1.x": "Windows keeps",
    "x" * 171: "it has 171 bytes",
    "ü" * 86: "it has 172 bytes",
}


def cohort(folder: Path, *entries: dict[str, object]) -> Path:
    write_nifti(folder / "scan.nii.gz", np.zeros((2, 3, 4), np.int16))
    given = [{"patient": "p", "phase": "ct", "image": "scan.nii.gz", "fold": 0} | entry for entry in entries]
    (folder / "datalist.json").write_text(json.dumps({"training": given}))
    return folder


@pytest.mark.parametrize(("case", "why"), BAD_IDS.items(), ids=map(ascii, BAD_IDS))
def test_an_invalid_id_in_a_datalist_is_refused(case, why, tmp_path):
    with pytest.raises(SemclError, match="a case id that cannot name files") as raised:
        datalist.load(cohort(tmp_path, {"case": case}))
    assert why in str(raised.value)
    assert str(raised.value).replace("\n", "").isprintable()


@pytest.mark.parametrize(("key", "what"), {"patient": "a patient", "phase": "a phase"}.items())
@pytest.mark.parametrize("text", ["=1+1", "@x", "\x1b[2J", ""])
def test_a_patient_or_phase_that_no_table_can_hold_is_refused(key, what, text, tmp_path):
    with pytest.raises(SemclError, match=f"a name of {what} that no table can hold"):
        datalist.load(cohort(tmp_path, {"case": "a", key: text}))


@pytest.mark.parametrize("ids", [("a", "A"), ("Straße", "STRASSE"), ("\u00e9", "e\u0301")])
def test_ids_that_are_one_file_on_many_disks_are_refused(ids, tmp_path):
    with pytest.raises(SemclError, match=f"(?s)one file on many disks.*{ids[0]} and {ids[1]}"):
        datalist.load(cohort(tmp_path, *({"case": case} for case in ids)))


def test_all_invalid_names_are_reported_at_once(tmp_path):
    with pytest.raises(SemclError, match=r"(?s)3 problems in the names of cases.*'\.\./x'.*'=1'.*b and B"):
        datalist.load(cohort(tmp_path, *({"case": case} for case in ("../x", "=1", "b", "B"))))


def test_usual_names_of_hospitals_are_accepted(tmp_path):
    ids = [
        "a",
        "a.b",
        "1.2.840.113619.2.55",
        "Müller, Zoë (2)",
        "肝臓_01",
        "a b",
        "x" * 170,
        "a-b+c=d@e",
        "connect",
        "a..b",
    ]
    assert [case.id for case in datalist.load(cohort(tmp_path, *({"case": case} for case in ids)))] == ids


@pytest.mark.parametrize("name", ["a\x1b[2J", "=1+1", "-x", "a\\b"])
def test_names_of_a_folder_of_scans_are_checked(name, tmp_path):
    write_nifti(tmp_path / f"{name}.nii.gz", np.zeros((2, 3, 4), np.int16))
    with pytest.raises(SemclError, match="a case id that cannot name files"):
        datalist.load(tmp_path)
    with pytest.raises(SemclError, match="a case id that cannot name files"):
        cases_from_folders(tmp_path, None, None)


def test_names_in_the_table_of_evaluate_are_checked(tmp_path):
    write_nifti(tmp_path / "maps" / "a.nii.gz", np.zeros((2, 3, 4), np.uint8))
    (tmp_path / "cases.csv").write_text("case,patient\na,=1+1\n")
    with pytest.raises(SemclError, match=r"(?s)case a: a name of a patient.*'=1\+1': it begins with ="):
        cases_from_folders(tmp_path / "maps", None, tmp_path / "cases.csv")


def test_a_method_name_cannot_be_a_formula(tmp_path):
    with pytest.raises(SemclError, match="a name of a method that no table can hold"):
        name_methods([str(tmp_path / "=cmd")])


@pytest.mark.parametrize("case", ["../../evil", "sub/evil", "=1+1"])
def test_prepare_writes_nothing_for_an_invalid_id(case, tmp_path):
    f = Folder(tmp_path / "deep" / "export")
    f.pair("a", "b", "c", "d")
    names = {"a": case}
    rows = [f"{names.get(one, one)},images/{one}.nii.gz,labels/{one}.nii.gz,{one}" for one in "abcd"]
    table = tmp_path / "labels.yaml"
    table.write_text("organs: {liver: 1, right_kidney: 2, left_kidney: 3}\n")
    before = sorted(tmp_path.rglob("*"))
    given = {"images": f.sheet("case,image,label,patient\n" + "\n".join(rows)), "table": table, "folds": 2}
    before.append(f.root / "cases.csv")
    with pytest.raises(SemclError, match="a name that files or tables cannot have"):
        prepare(out=tmp_path / "cohort", **given)
    assert sorted(tmp_path.rglob("*")) == sorted(before)
    prepare(out=tmp_path / "cohort", allow="bad_name", **given)
    assert [one.id for one in datalist.load(tmp_path / "cohort") if one.id not in "bcd"] == []


# another split


@pytest.fixture
def resplit(phantoms: Path, tmp_path: Path) -> Path:
    """A cohort with maps and models of one split, and a datalist of another split with other testing patients."""
    folder = Path(shutil.copytree(phantoms, tmp_path / "cohort"))
    before, table = datalist.load(folder), LabelTable.load(folder)
    note = provenance({"labels": table.digest()}, before, table)
    shutil.copytree(folder / "labels", folder / "attention")
    shutil.copytree(folder / "labels", folder / "predictions")
    note_attention(folder / "attention", note)
    (folder / "predictions" / "predictions.json").write_text(json.dumps({"made_by": [note]}))
    for name in ("coarse", "encoder", "model"):
        save_weights(folder / "models" / f"{name}.pt", nn.Linear(1, 1), note | NO_SETTINGS)
    table.save(folder / "models")
    datalist.save(split(before, 2, 0.4, seed=3), folder)
    tested = {one.patient for one in datalist.load(folder, "testing")}
    assert tested - {one.patient for one in before if one.fold is None}
    return folder


@pytest.mark.parametrize("stage", ["pretrain", "train", "store"])
def test_no_stage_trains_on_maps_of_another_split(stage, resplit):
    message = refusal(stage, dataset_dir=resplit)
    assert "the attention maps were made for another split of the cohort" in message
    assert "run coarse.yaml again" in message


@pytest.mark.parametrize(
    ("stage", "file"), {"inference": "model.json", "embed": "encoder.json", "evaluate": "attention.json"}.items()
)
def test_no_patient_is_tested_by_a_network_trained_on_them(stage, file, resplit):
    before = {path: path.read_bytes() for path in (resplit / "predictions").iterdir()}
    message = refusal(stage, dataset_dir=resplit)
    assert "a patient who is tested is one that was learnt from" in message
    assert file in message
    assert {path: path.read_bytes() for path in (resplit / "predictions").iterdir()} == before


def test_predictions_of_another_split_are_not_evaluated(resplit):
    (resplit / "attention" / "attention.json").unlink()
    message = refusal("evaluate", dataset_dir=resplit)
    assert "a patient who is tested is one that was learnt from" in message
    assert "predictions.json" in message


def test_models_of_another_label_table_do_not_segment(resplit):
    table = LabelTable.load(resplit / "models")
    turned = replace(table, organs=table.organs[::-1])
    turned.save(resplit / "models")
    message = refusal("inference", dataset_dir=resplit, section="training")
    assert "made with the organs of another label table" in message
    assert f"{table.organs_digest()} in {resplit}/models/model.json" in message
    assert turned.organs_digest() in message
