"""The command audit, and those that call it: options, JSON, exit codes; the stage itself is another test's."""

import json
import sys

import pytest

from scripts import __main__ as command_line

ABOVE = {"above": 2, "findings": [{"case": "a", "suspicion": 0.9}]}


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Calls of the stage, which finds what ``summary`` says."""
    calls, summary = [], dict(ABOVE)

    def run(stage, dataset_dir, bundle_root, overlay, given):
        calls.append((stage, dataset_dir, given))
        (tmp_path / "audit").mkdir(exist_ok=True)
        (tmp_path / "audit" / "summary.json").write_text(json.dumps(summary))
        print("a line of the stage")

    monkeypatch.setattr("scripts.commands.stages.run_overridden", run)
    return calls, summary


def code(words, monkeypatch):
    """The exit code of the program."""
    monkeypatch.setattr(sys, "argv", ["scripts", *map(str, words)])
    try:
        command_line.main()
    except SystemExit as ended:
        return ended.code
    return 0


def test_something_above_the_threshold_is_exit_code_3(stage, tmp_path, monkeypatch):
    calls, summary = stage
    assert code(["audit", "--dataset_dir", tmp_path, "--threshold", "0.4", "--allow", "leak,island"], monkeypatch) == 3
    assert calls == [("audit", str(tmp_path), {"threshold": 0.4, "allow": ["leak", "island"]})]
    summary["above"] = 0
    assert code(["audit", "--dataset_dir", tmp_path, "--maps", "m", "--usable", "0.7"], monkeypatch) == 0
    assert calls[1][2] == {"usable": "0.7", "threshold": 0.5, "allow": [], "maps": "m"}


def test_json_is_all_that_is_printed(stage, tmp_path, monkeypatch, capsys):
    assert code(["audit", "--dataset_dir", tmp_path, "--json"], monkeypatch) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out) == ABOVE
    assert "a line of the stage" in printed.err


def test_prepare_audits_what_it_has_made(stage, phantoms, tmp_path, monkeypatch):
    given = ["--images", phantoms / "images", "--labels", phantoms / "labels", "--table", phantoms / "labels.yaml"]
    assert code(["prepare", *given, "--out", tmp_path, "--folds", "2", "--audit"], monkeypatch) == 3
    assert stage[0] == [("audit", str(tmp_path), {})]
    assert (tmp_path / "datalist.json").is_file()


def test_evaluate_audits_the_first_folder(stage, cohort, tmp_path, monkeypatch, capsys):
    import numpy as np

    from scripts.cohort import datalist
    from scripts.evaluate.evaluation import Evaluation
    from tests.conftest import write_nifti

    monkeypatch.setattr(Evaluation, "run", lambda self: None)
    datalist.save(datalist.load(cohort), tmp_path)
    label = np.zeros((4, 4, 4), np.uint8)
    label[1:3] = 1
    for folder in ("truth", "mine"):
        write_nifti(tmp_path / folder / "a.nii.gz", label)
    words = ["evaluate", "--pred", tmp_path / "mine", "--truth", tmp_path / "truth", "--audit", tmp_path]
    assert code(words, monkeypatch) == 3
    assert stage[0] == [("audit", str(tmp_path), {"maps": str(tmp_path / "mine")})]
    monkeypatch.setattr(Evaluation, "run", lambda self: pytest.fail("measured before the cohort was looked for"))
    assert code([*words[:-1], tmp_path / "gone"], monkeypatch) == 2
    assert "dataset_dir is not a folder" in capsys.readouterr().err
