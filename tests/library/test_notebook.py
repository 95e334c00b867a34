"""The notebook docs/library.ipynb runs to its last cell, with fewer steps and on phantoms that other tests use."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from scripts.__main__ import main
from tests.stages import ROOT, as_if_a_process_ended

FEWER = {
    "patch_size: 48": "patch_size: 32",
    "max_epochs: 6": "max_epochs: 1",
    "epoch_length: 24": "epoch_length: 8",
    "steps=60": "steps=20",
}


def test_the_notebook_runs(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    cells = json.loads((ROOT / "docs" / "library.ipynb").read_text(encoding="utf-8"))["cells"]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantoms, "cohort")
    scope: dict[str, object] = {}
    for cell in cells:
        text = "".join(cell["source"])
        for number, smaller in FEWER.items():
            text = text.replace(number, smaller)
        if cell["cell_type"] == "code" and text.startswith("!semcl run "):
            monkeypatch.setattr(sys, "argv", shlex.split(text[1:]))
            with as_if_a_process_ended():
                main()
        elif cell["cell_type"] == "code" and not text.startswith("!semcl phantom "):
            exec(compile(text, "library.ipynb", "exec"), scope)
    printed = capsys.readouterr().out
    assert re.search(r"^\d+ queries of \d+ classes$", printed, re.M)
    losses = scope["losses"]
    assert sum(losses[-5:]) < sum(losses[:5])
    labels, scan = scope["labels"], scope["scan"]
    assert labels.shape == (1, *scan.shape)
    assert len(labels.unique()) > 1
    assert len(plt.get_fignums()) == 3
    plt.close("all")
