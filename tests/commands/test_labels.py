"""The command that drafts a label table."""

import sys

import numpy as np
import pytest

from scripts import __main__ as command_line
from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from tests.commands.test_arguments import said
from tests.conftest import write_nifti


def test_a_draft_is_written_once(tmp_path, monkeypatch, capsys):
    source = write_nifti(tmp_path / "total.nii.gz", np.array([[[0, 2], [3, 52]]], np.uint8))
    words = ["labels", "--from", str(source), "--names", "totalsegmentator", "--out", str(tmp_path / "labels.yaml")]
    printed = said(words, monkeypatch, capsys)
    assert f"labels.yaml: 3 organs from the values of 1 label map in {source}\n" in printed
    table = LabelTable.read(tmp_path / "labels.yaml")
    assert [(organ.name, organ.index) for organ in table.organs] == [
        ("kidney_right", 2),
        ("kidney_left", 3),
        ("aorta", 52),
    ]
    with pytest.raises(SemclError, match="there is a file of that name"):
        command_line.COMMANDS["labels"](from_=str(source), out=str(tmp_path / "labels.yaml"))


def test_the_source_must_be_given(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["semcl", "labels"])
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    assert capsys.readouterr().err.startswith("error: labels needs --from\n")


def test_a_missing_table_says_how_to_draft_one(tmp_path):
    with pytest.raises(SemclError, match="labels --from LABELS` drafts one"):
        LabelTable.read(tmp_path / "labels.yaml")
