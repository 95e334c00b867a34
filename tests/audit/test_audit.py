"""The audit as a stage: what it writes, what it refuses."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from scripts.audit.audit import Audit
from scripts.coarse.inferer import CoarseInferer
from scripts.errors import SemclError
from tests.conftest import write_nifti

from .made import SHAPE, TABLE, WINDOW, reader


def audit(cases, out, **options):
    inferer = CoarseInferer((16, 16, 8), WINDOW)
    return Audit(cases, TABLE, reader(encoded=False), str(out), inferer, **options)


def test_it_writes_a_table_and_a_summary(toys, tmp_path, capsys):
    audit(toys[:4], tmp_path).run()
    assert {path.name for path in (tmp_path / "audit").iterdir()} >= {"audit.csv", "summary.json", "examples"}
    with open(tmp_path / "audit" / "audit.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    summary = json.loads((tmp_path / "audit" / "summary.json").read_text())
    assert summary["label_maps"]["rests_on"] == ["plain"]
    assert summary["phases"] is None  # two patients each
    assert summary["headline"] in capsys.readouterr().out
    before = (tmp_path / "audit" / "audit.csv").read_bytes()
    audit(toys[:4], tmp_path, allow=["leak"], threshold=0.0).run()
    assert (tmp_path / "audit" / "audit.csv").read_bytes() == before
    assert json.loads((tmp_path / "audit" / "summary.json").read_text())["above"] <= 12


def test_two_patients_with_a_scan_each_get_no_verdicts(toys, tmp_path):
    audit(toys[:2], tmp_path).run()
    summary = json.loads((tmp_path / "audit" / "summary.json").read_text())
    assert summary["label_maps"] == {"rests_on": [], "auroc": {}}
    assert [(one["finding"], one["suspicion"]) for one in summary["findings"]] == [(None, None)] * 6
    assert summary["headline"].endswith("6 objects without a verdict: fewer than 3 examples in other patients.")


def test_what_an_earlier_audit_wrote_of_maps_does_not_stay_beside_another_one(toys, tmp_path):
    write_nifti(tmp_path / "maps" / "p0.nii.gz", np.zeros(SHAPE, np.uint8))
    audit(toys[:4], tmp_path, maps=str(tmp_path / "maps")).run()
    (tmp_path / "audit" / "label_next.csv").write_text("patient\n")
    assert (tmp_path / "audit" / "quality.json").is_file()
    audit(toys[:4], tmp_path).run()
    assert not {"quality.json", "label_next.csv"} & {path.name for path in (tmp_path / "audit").iterdir()}


def test_empty_maps_of_a_folder_are_findings(toys, tmp_path):
    write_nifti(tmp_path / "maps" / "p0.nii.gz", np.zeros(SHAPE, np.uint8))
    audit(toys[:4], tmp_path, maps=str(tmp_path / "maps")).run()
    summary = json.loads((tmp_path / "audit" / "summary.json").read_text())
    assert [one["finding"] for one in summary["findings"]] == ["organ_missing"] * 3
    assert summary["above"] == 3
    quality = json.loads((tmp_path / "audit" / "quality.json").read_text())
    assert quality == {"p0": {"dice": None, "organs": {}}}


def test_one_patient_is_refused_before_anything_is_written(toys, tmp_path):
    alone = [replace(case, patient="one") for case in toys[:2]]
    with pytest.raises(SemclError, match=r"(?s)an audit compares patients.*label maps of 1 patient\b"):
        audit(alone, tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


def test_maps_must_be_there_and_of_the_cohort(toys, tmp_path):
    with pytest.raises(SemclError, match="there is no folder of maps"):
        audit(toys, tmp_path, maps=str(tmp_path / "nowhere")).run()
    (tmp_path / "maps").mkdir()
    with pytest.raises(SemclError, match="there are no maps"):
        audit(toys, tmp_path, maps=str(tmp_path / "maps")).run()
    write_nifti(tmp_path / "maps" / "stranger.nii.gz", np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(SemclError, match="case stranger: a map of a case that is not in the cohort"):
        audit(toys, tmp_path, maps=str(tmp_path / "maps")).run()
    assert not (tmp_path / "audit").exists()


def test_a_folder_of_something_else_is_left_alone(toys, tmp_path):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "thesis.txt").write_text("mine")
    with pytest.raises(SemclError, match="holds what is not this stage's own"):
        audit(toys, tmp_path).run()
    assert (tmp_path / "audit" / "thesis.txt").read_text() == "mine"


def test_an_unknown_kind_cannot_be_allowed(toys, tmp_path):
    with pytest.raises(SemclError, match="allow has no such value"):
        audit(toys, tmp_path, allow=["leek"])


def test_maps_of_another_tool_get_an_expected_dice(toys, tmp_path):
    (tmp_path / "maps").mkdir()
    shutil.copy(toys[0].label, tmp_path / "maps" / "p0.nii.gz")
    audit(toys[:4], tmp_path, maps=str(tmp_path / "maps")).run()
    quality = json.loads((tmp_path / "audit" / "quality.json").read_text())
    assert set(quality) == {"p0"}
    assert set(quality["p0"]["organs"]) == set(TABLE.names)
