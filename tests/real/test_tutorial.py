"""The tutorial notebook runs from its first to its last cell, its `semcl` commands within this process."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from scripts.__main__ import main
from scripts.job.closing import CHAINED
from tests.stages import ROOT

pytestmark = pytest.mark.real


def test_the_notebook_runs(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEMCL_DATA", str(real_data.resolve()))
    scope: dict[str, object] = {}
    token = CHAINED.set("")
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and text.startswith("!semcl "):
            monkeypatch.setattr(sys, "argv", shlex.split(text[1:]))
            main()
        elif cell["cell_type"] == "code":
            exec(compile(text, "tutorial.ipynb", "exec"), scope)
    CHAINED.reset(token)
    printed = capsys.readouterr().out
    assert "8 cases of 8 patients, 8 with labels" in printed
    assert "cohort: 5 training cases and 3 testing cases" in printed
    assert re.findall(r"^== (\d)/5 (\w+)$", printed, re.M) == [
        ("1", "coarse"), ("2", "pretrain"), ("3", "train"), ("4", "inference"), ("5", "evaluate"),
    ]  # fmt: skip
    assert [
        stage for stage in ("coarse", "pretrain", "train", "inference") if f"{stage}: completed in" not in printed
    ] == []
    assert "next: python -m monai.bundle" not in printed
    assert (tmp_path / "cohort" / "report.html").is_file()
    assert printed.rstrip().splitlines()[-1].startswith("Mean Dice ")
