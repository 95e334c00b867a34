"""The example of the README, as written, on a data set laid out as the Decathlon's archive."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from scripts.__main__ import main
from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable
from tests.stages import ROOT

pytestmark = pytest.mark.real


def decathlon(folder: Path, real: Path) -> None:
    """Twelve scans with label maps and three without, and dataset.json as the archive has it."""
    labelled = sorted(path.name for path in (real / "labels").iterdir() if (real / "images" / path.name).is_file())
    for name in labelled[:12]:
        for source, target in (("images", "imagesTr"), ("labels", "labelsTr")):
            (folder / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(real / source / name, folder / target / name)
    (folder / "imagesTs").mkdir()
    for name in labelled[12:15]:
        shutil.copy(real / "images" / name, folder / "imagesTs" / name)
    labels = {"0": "background", "1": "Anterior", "2": "Posterior"}
    (folder / "dataset.json").write_text(json.dumps({"name": "Hippocampus", "labels": labels}))


def test_the_example_makes_a_cohort(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    decathlon(tmp_path / "Task04_Hippocampus", real_data / "mr_hippocampus")
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## A real example")[2].partition("\n## ")[0]
    commands = re.search(r"```\n(semcl .*?)```", text, re.S)[1].replace("\\\n", " ").splitlines()
    assert [shlex.split(line)[1] for line in commands] == ["labels", "check", "prepare", "run"]
    monkeypatch.chdir(tmp_path)
    for line in commands[:3]:  # test_tutorial.py runs all stages
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        main()
    printed = capsys.readouterr().out
    assert "labels.yaml: 2 organs from Task04_Hippocampus/dataset.json" in printed
    assert "12 cases of 12 patients, 12 with labels" in printed
    assert "cohort/: 10 training cases, 3 of them without labels, and 5 testing cases" in printed
    assert LabelTable.load(tmp_path / "cohort").names == ("anterior", "posterior")
    assert {case.id for case in datalist.load(tmp_path / "cohort", "unlabelled")} == {
        path.name.removesuffix(".nii.gz") for path in (tmp_path / "Task04_Hippocampus" / "imagesTs").iterdir()
    }
