"""The command line: what good input leaves behind, and how wrong input ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.__main__ import main, phantom, prepare
from scripts.cohort import datalist
from scripts.cohort.labels import LabelTable
from scripts.errors import SemclError

ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """``python -m scripts`` with arguments, from the repository's root."""
    return subprocess.run(
        [sys.executable, "-m", "scripts", *map(str, arguments)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def refused(out: Path, *arguments: object) -> str:
    """What a command that must fail tells the user: one message, exit code 2, nothing written."""
    ended = run("prepare", *arguments, "--out", out)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert not out.exists()
    message = ended.stderr[ended.stderr.index("error: ") :]
    assert [message.count(part) for part in ("error: ", "found: ", "expected: ", "do this: ")] == [1, 1, 1, 1]
    return message


def test_phantom_makes_a_cohort(tmp_path: Path, phantoms: Path) -> None:
    out = tmp_path / "made" / "cohort"
    ended = run("phantom", "--out", out, "--cases", 3, "--seed", 0, "--folds", 2, "--test_share", 0.34)
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "cases.csv", "datalist.json", "images", "labels", "labels.yaml",
    ]  # fmt: skip
    training, testing = datalist.load(out, "training", need_label=True), datalist.load(out, "testing")
    assert (len(training), len(testing)) == (2, 1)
    assert datalist.folds(training) == [0, 1]
    for case in training + testing:  # the larger cohort of the same seed begins with the same bytes
        for file in (case.image, case.label):
            assert file.read_bytes() == (phantoms / file.relative_to(out)).read_bytes()


def test_prepare_makes_a_cohort_of_folders(tmp_path: Path, phantoms: Path) -> None:
    out = tmp_path / "cohort"
    ended = run(
        "prepare", "--images", phantoms / "images", "--labels", phantoms / "labels", "--out", out,
        "--table", phantoms / "labels.yaml", "--cases", phantoms / "cases.csv", "--folds", 2, "--test_share", 0.4,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert sorted(os.listdir(out)) == ["datalist.json", "labels.yaml"]
    assert LabelTable.load(out) == LabelTable.load(phantoms)
    cases = datalist.load(out, need_label=True)
    assert cases == datalist.load(phantoms)  # the same files, and the same split of the same seed
    testing = sum(case.fold is None for case in cases)
    assert ended.stdout == f"{out}: {6 - testing} training and {testing} testing cases\n"


def test_prepare_without_labels_makes_cases_to_segment(
    tmp_path: Path, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cohort"
    prepare(str(phantoms / "images"), str(out), str(phantoms / "labels.yaml"))
    assert capsys.readouterr().out == f"{out}: 0 training and 6 testing cases\n"
    assert {(case.label, case.fold) for case in datalist.load(out)} == {(None, None)}


def test_a_missing_folder_of_images_is_refused(tmp_path: Path, phantoms: Path) -> None:
    message = refused(tmp_path / "cohort", "--images", tmp_path / "CT", "--table", phantoms / "labels.yaml")
    assert message.startswith("error: a folder is missing")
    assert str(tmp_path / "CT") in message


def test_a_missing_label_table_is_refused(tmp_path: Path, phantoms: Path) -> None:
    table = tmp_path / "organs.yaml"
    message = refused(tmp_path / "cohort", "--images", phantoms / "images", "--table", table)
    assert message.startswith("error: there is no label table")
    assert str(table) in message


def test_an_image_without_its_label_map_is_refused(tmp_path: Path, phantoms: Path) -> None:
    labels = Path(shutil.copytree(phantoms / "labels", tmp_path / "labels"))
    gone = min(labels.iterdir())
    gone.unlink()
    folders = ("--images", phantoms / "images", "--labels", labels, "--table", phantoms / "labels.yaml")
    message = refused(tmp_path / "cohort", *folders)
    assert message.startswith(f"error: case {gone.name.removesuffix('.nii.gz')}: image without label map")


@pytest.mark.parametrize("arguments", [("prepare",), ("phantom",), ("segment",)])
def test_a_command_that_is_not_complete_ends_with_its_usage(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Usage: python -m scripts" in capsys.readouterr().err.replace("'", "")


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        (phantom, {"case": 3}, r"no option --case\n(.|\n)*did you mean --cases\?"),
        (phantom, {"cases": 0}, "a cohort needs scans"),
        (phantom, {"cases": 3, "folds": 9}, "too few patients to train on"),
        (phantom, {"test_share": 1.5}, r"1\.5\n  expected: at least 2 folds, a test share from 0 to below 1"),
        (prepare, {"images": "a", "table": "b", "fold": 1}, r"no option --fold\n(.|\n)*did you mean --folds\?"),
    ],
)
def test_bad_options_are_refused_before_anything_is_made(command, options, message, tmp_path) -> None:
    with pytest.raises(SemclError, match=message):
        command(out=str(tmp_path / "cohort"), **options)
    assert not (tmp_path / "cohort").exists()


def test_a_table_of_cases_that_is_not_there_is_refused(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(SemclError, match="the table of cases cannot be used"):
        prepare(
            images=str(phantoms / "images"),
            table=str(phantoms / "labels.yaml"),
            cases=str(tmp_path / "nowhere.csv"),
            out=str(tmp_path / "cohort"),
        )


def test_a_label_table_that_is_not_yaml_is_refused(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text("organs: {liver: [")
    with pytest.raises(SemclError, match=r"labels\.yaml is not YAML"):
        prepare(images=str(phantoms / "images"), table=str(tmp_path / "labels.yaml"), out=str(tmp_path / "cohort"))
