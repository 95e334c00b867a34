"""The command line: results of valid input, and errors of invalid input."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import itk
import numpy as np
import pytest
import yaml

from scripts.__main__ import check, main, prepare
from scripts.cohort import datalist
from scripts.cohort.case import folds
from scripts.cohort.label_table import LabelTable
from scripts.commands.evaluate import evaluate
from scripts.commands.phantom import phantom
from scripts.errors import SemclError
from scripts.outputs import visible
from tests.conftest import write_nifti
from tests.faults.inputs import TABLE, TWO_PHASES, Folder, ct, organs, write_dicom

ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """``python -m scripts`` with arguments, from the repository's root."""
    return subprocess.run(
        [sys.executable, "-m", "scripts", *map(str, arguments)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def refused(out: Path, *arguments: object) -> str:
    """The message of a command that must fail with exit code 2 and write nothing."""
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
    assert sorted(path.name for path in visible(out)) == [
        "cases.csv", "datalist.json", "images", "labels", "labels.yaml",
    ]  # fmt: skip
    training, testing = datalist.load(out, "training", need_label=True), datalist.load(out, "testing")
    assert (len(training), len(testing)) == (2, 1)
    assert folds(training) == [0, 1]
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
    counted = f"{out}: {6 - testing} training cases and {testing} testing cases\n"
    assert ended.stdout == f"{counted}next: python -m scripts run --dataset_dir {out}\n"


def test_prepare_without_labels_makes_cases_to_segment(
    tmp_path: Path, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cohort"
    prepare(str(phantoms / "images"), str(out), str(phantoms / "labels.yaml"))
    shown = capsys.readouterr().out
    assert shown.startswith("warning phase_unknown: the phase is unknown (6)\n")
    assert f"0 errors, 6 warnings, 0 notes\n{out}: 0 training cases and 6 testing cases\n" in shown
    assert {(case.label, case.fold) for case in datalist.load(out)} == {(None, None)}


def test_prepare_gives_a_cohort_of_mr_a_window_of_its_own_and_leaves_another_overlay(
    tmp_path: Path, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (str(phantoms / "images"), str(tmp_path / "cohort"), str(phantoms / "labels.yaml"))
    overlay = tmp_path / "cohort" / "overlay.yaml"
    prepare(*given)
    assert (datalist.stated_modality(given[1]), overlay.exists()) == (None, False)
    prepare(*given, modality="MR")
    assert (datalist.stated_modality(given[1]), yaml.safe_load(overlay.read_text())) == ("MR", {"window": "percentile"})
    assert f"{overlay}: window: percentile, since these are MR" in capsys.readouterr().out
    overlay.write_text("patch_size: 32\n")
    prepare(*given, modality="MR")
    assert overlay.read_text() == "patch_size: 32\n"
    assert "overlay" not in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("prepare",), "--images, --out and --table"),
        (("phantom",), "--out"),
        (("evaluate", "--pred", "a"), "--truth"),
    ],
)
def test_a_command_that_is_not_complete_names_what_it_needs(
    arguments: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {arguments[0]} needs {missing}\n")


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        (phantom, {"case": 3}, r"no option --case\n(.|\n)*did you mean --cases\?"),
        (phantom, {"cases": 0}, r"--cases cannot be 0\n(.|\n)*1, 2, \.\.\."),
        (phantom, {"cases": 3, "folds": 9}, "too few patients to train on"),
        (phantom, {"test_share": 1.5}, r"1\.5\n  expected: a share from 0 to below 1"),
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


@pytest.fixture
def faulty(tmp_path: Path) -> Folder:
    """Three pairs, of which anna's label map is empty and berta's image is there twice."""
    folder = Folder(tmp_path / "scans")
    folder.pair("anna", "carl")
    folder.image("berta", ct(0))
    folder.image("bertha", ct(0))
    for case in ("berta", "bertha"):
        folder.label(case)
    folder.label("anna", organs() * 0)
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(TABLE.content()))
    return folder


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_check_lists_each_finding_once_stops_and_changes_nothing(tmp_path: Path, faulty: Folder) -> None:
    before = everything(tmp_path)
    folders = ("--images", faulty.images, "--labels", faulty.labels, "--table", tmp_path / "labels.yaml")
    ended = run("check", *folders)
    assert ended.returncode == 2
    assert everything(tmp_path) == before
    assert ended.stdout.count("duplicate_image") == ended.stdout.count("label_empty") == 1
    assert "2 errors, 0 warnings, 0 notes\nlayout:" in ended.stdout
    printed = ended.stderr[ended.stderr.index("error: ") :]
    assert printed.startswith("error: 2 findings that are errors\n  found:    1 label_empty, 1 duplicate_image\n")
    assert "anna" not in printed
    accepted = run("check", *folders, "--allow", "duplicate_image,label_empty")
    assert accepted.returncode == 0, accepted.stderr
    assert "0 errors, 2 warnings, 0 notes\nlayout:" in accepted.stdout
    assert "cases:        4 cases of 4 patients, 4 with labels\n" in accepted.stdout


def test_findings_go_to_a_csv_with_ids_hashed(tmp_path: Path, faulty: Folder) -> None:
    made = {"images": str(faulty.images), "labels": str(faulty.labels), "table": str(tmp_path / "labels.yaml")}
    for name, more in {"plain": {}, "hashed": {"hash_ids": str(tmp_path / "key")}}.items():
        with pytest.raises(SemclError, match="2 findings that are errors"):
            check(**made, csv=str(tmp_path / f"{name}.csv"), **more)
    with open(tmp_path / "plain.csv", newline="") as file:
        plain = list(csv.DictReader(file))
    assert [(row["case"], row["finding"], row["severity"]) for row in plain] == [
        ("anna", "label_empty", "error"),
        ("bertha", "duplicate_image", "error"),
    ]
    hashed = (tmp_path / "hashed.csv").read_text()
    assert not [name for name in ("anna", "berta", "bertha", str(tmp_path)) if name in hashed]
    assert hashed.count("duplicate_image") == 1


def test_prepare_leaves_nothing_behind_when_it_stops_and_a_cohort_when_allowed(tmp_path: Path, faulty: Folder) -> None:
    given = {"images": str(faulty.images), "labels": str(faulty.labels), "table": str(tmp_path / "labels.yaml")}
    out = tmp_path / "cohort"
    with pytest.raises(SemclError, match="2 findings that are errors"):
        prepare(**given, out=str(out))
    assert not out.exists()
    prepare(**given, out=str(out), folds=2, allow="label_empty,duplicate_image")
    assert {case.id for case in datalist.load(out, need_label=True)} == {"anna", "berta", "bertha", "carl"}


def test_prepare_writes_no_dicom_tag(tmp_path: Path) -> None:
    for case in ("a", "b"):
        tags = {"0010|0010": "Muster^Erika", "0010|0020": "4711-0815", "0008|103e": "portal", "0008|0080": "Spital"}
        write_dicom(tmp_path / "scans" / case, ct(ord(case)), tags=tags)
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(TWO_PHASES.content()))
    out = tmp_path / "cohort"
    prepare(str(tmp_path / "scans"), str(out), str(tmp_path / "labels.yaml"), csv=str(out / "findings.csv"))
    assert [(case.patient, case.phase) for case in datalist.load(out)] == [("a", "portal"), ("a", "portal")]
    written = b"".join(everything(out).values())
    assert b"patient_by_tag" in written
    assert not [word for word in (b"Muster", b"4711", b"Spital") if word in written]


def test_a_label_table_cannot_run_code(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text(f"organs: !!python/object/apply:os.mkdir ['{tmp_path}/hacked']")
    with pytest.raises(SemclError, match=r"labels\.yaml is not YAML"):
        check(images=str(phantoms / "images"), table=str(tmp_path / "labels.yaml"))
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modality": "PET"}, r"(?s)modality has no such value.*found: +modality PET.*CT, MR"),
        ({"allow": "label_emty"}, r"(?s)allow has no such value.*label_emty.*did you mean label_empty"),
        ({"phase_pattern": "portal"}, "phase pattern cannot be used"),
        ({"modalty": "MR"}, r"(?s)check has no option --modalty.*did you mean --modality"),
    ],
)
def test_check_refuses_options_it_cannot_use(faulty: Folder, options, message) -> None:
    with pytest.raises(SemclError, match=message):
        check(images=str(faulty.images), **options)


def test_annotated_organs_must_be_in_the_table(tmp_path: Path, faulty: Folder) -> None:
    rows = "".join(f"{case},{case},ct,livr\n" for case in ("anna", "berta", "bertha", "carl"))
    listed = faulty.sheet("case,patient,phase,annotated\n" + rows)
    with pytest.raises(
        SemclError, match=r"(?s)column annotated names organs.*found: +livr\n.*of left_kidney, liver, right_kidney"
    ):
        check(str(faulty.images), str(faulty.labels), str(tmp_path / "labels.yaml"), str(listed))


@pytest.fixture
def label_maps(tmp_path: Path) -> Path:
    """Three true label maps, the maps of two tools beside them, one as NRRD and MHA, and scans."""
    truth = np.zeros((16, 12, 6), np.uint8)
    truth[2:10, 2:6, 1:5], truth[3:9, 7:11, 1:5] = 3, 8
    (tmp_path / "other").mkdir()
    for number, case in enumerate(("anna", "berta", "carl")):
        write_nifti(tmp_path / "truth" / f"{case}.nii.gz", truth)
        write_nifti(tmp_path / "mine" / f"{case}.nii.gz", np.roll(truth, number + 1, 0))
        write_nifti(tmp_path / "scans" / f"{case}.nii.gz", truth.astype(np.float32) * 10)
        image = itk.image_from_array(truth.T.copy())
        image.SetDirection(itk.matrix_from_array(np.diag([-1.0, -1.0, 1.0])))
        itk.imwrite(image, str(tmp_path / "other" / f"{case}{('.nrrd', '.mha')[number % 2]}"))
    (tmp_path / "cases.csv").write_text(
        "case,patient,phase,annotated\nanna,p1,portal,liver\nberta,p1,late,\ncarl,p2,portal,\n"
    )
    (tmp_path / "organs.yaml").write_text("organs: {liver: {index: 3, tolerance: 1}, spleen: 8}\n")
    return tmp_path


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def not_evaluated(folder: Path, **options: object) -> str:
    """The message of evaluate when it refuses; nothing is written."""
    given = {"pred": folder / "mine", "truth": folder / "truth", "out": folder / "out"} | options
    with pytest.raises(SemclError) as raised:
        evaluate(**{name: str(value) if isinstance(value, Path) else value for name, value in given.items()})
    assert not (folder / "out").exists()
    return str(raised.value)


def test_evaluate_compares_folders_of_label_maps(label_maps: Path) -> None:
    out = label_maps / "out"
    ended = run(
        "evaluate",
        "--pred",
        label_maps / "mine",
        "--pred",
        label_maps / "other",
        "--truth",
        label_maps / "truth",
        "--out",
        out,
    )
    assert ended.returncode == 0, ended.stderr
    assert sorted(os.listdir(out)) == ["figures", "report.html", "rows.csv", "summary.json"]
    rows = read_rows(out / "rows.csv")
    dice = {(row["case"], row["method"]): float(row["value"]) for row in rows
            if (row["organ"], row["metric"]) == ("label_3", "dice")}  # fmt: skip
    assert dice == {
        (case, method): value
        for number, case in enumerate(("anna", "berta", "carl"))
        for method, value in {"mine": (7 - number) / 8, "other": 1.0}.items()
    }
    assert {(row["organ"], row["patient"] == row["case"], row["phase"]) for row in rows} == {
        ("background", True, "unknown"),
        ("label_3", True, "unknown"),
        ("label_8", True, "unknown"),
    }
    headline, report = ended.stdout.splitlines()
    assert headline.startswith("Mean Dice 0.708 mine, 1.000 other (+0.292) over 3 cases of 3 patients: undecided")
    assert report == f"report: {out / 'report.html'}"
    assert "3 cases of 3 patients.</p>" in (out / "report.html").read_text()


def test_evaluate_with_a_table_cases_and_scans(label_maps: Path) -> None:
    out = label_maps / "out"
    ended = run(
        "evaluate", f"--pred={label_maps / 'mine'}", "--truth", label_maps / "truth", "--out", out, "--cases",
        label_maps / "cases.csv", "--table", label_maps / "organs.yaml", "--images", label_maps / "scans",
        "--pictures", 2, "--tolerance", 2.5, "--window=0,100",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found = {(row["case"], row["patient"], row["phase"], row["organ"]) for row in read_rows(out / "rows.csv")}
    assert found == {
        ("anna", "p1", "portal", "liver"),  # her spleen is not annotated
        ("berta", "p1", "late", "liver"), ("berta", "p1", "late", "spleen"), ("berta", "p1", "late", "background"),
        ("carl", "p2", "portal", "liver"), ("carl", "p2", "portal", "spleen"), ("carl", "p2", "portal", "background"),
    }  # fmt: skip
    assert [path.name for path in visible(out / "pictures")] == ["berta.png", "carl.png"]
    assert ended.stdout.startswith("Mean Dice 0.651 over 3 cases of 2 patients (mine).")
    assert "(liver 1, others 2.5 mm; by their area)" in (out / "report.html").read_text()


@pytest.mark.parametrize("folder", ["1", "2026", "1.5"])
def test_a_folder_named_by_a_number_is_evaluated(
    label_maps: Path, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (label_maps / "mine").rename(label_maps / folder)
    monkeypatch.chdir(label_maps)
    monkeypatch.setattr(sys, "argv", ["scripts", "evaluate", "--pred", folder, "--truth", "truth"])
    main()
    assert f"over 3 cases of 3 patients ({folder})." in capsys.readouterr().out
    assert (label_maps / "evaluation" / "report.html").is_file()  # the default of --out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"truth": "nowhere"}, "a folder is missing\n  found:    no nowhere\n", id="no truth"),
        pytest.param({"images": "nowhere"}, "a folder is missing\n  found:    no nowhere\n", id="no images"),
        pytest.param({"pred": "nowhere"}, "a folder is missing\n  found:    no nowhere\n", id="no predictions"),
        pytest.param({"cases": "nowhere.csv"}, "the table of cases cannot be used", id="no table of cases"),
        pytest.param({"table": "nowhere.yaml"}, "there is no label table", id="no label table"),
        pytest.param({"pred": ["a/mine", "b/mine"]}, "found:    a/mine and b/mine\n", id="one name twice"),
        pytest.param({"tabel": "a"}, "evaluate has no option --tabel", id="nearly an option"),
        pytest.param({"prediction": "a"}, "evaluate has no option --prediction", id="no option"),
        pytest.param({"window": "wide"}, "unknown intensity window", id="no window"),
        pytest.param({"tolerance": "wide"}, "wide", id="a tolerance that is no number"),
        pytest.param({"tolerance": -1}, "-1", id="a tolerance below 0"),
        pytest.param({"pictures": -1}, "-1", id="pictures below 0"),
    ],
)
def test_evaluate_refuses_what_it_cannot_use(label_maps: Path, options: dict[str, object], message: str) -> None:
    assert message in not_evaluated(label_maps, **({"images": label_maps / "scans"} | options))


def test_a_misspelled_option_is_refused_with_the_nearest(label_maps: Path) -> None:
    assert not_evaluated(label_maps, tabel="a").endswith("do this:  did you mean --table?")


def test_a_missing_prediction_is_refused(label_maps: Path) -> None:
    (label_maps / "mine" / "berta.nii.gz").unlink()
    printed = not_evaluated(label_maps)
    assert printed.startswith("case berta: no label map of method mine\n")
    assert f"no berta.nii.gz (nor .nii, .nrrd, .mha) in {label_maps / 'mine'}" in printed
    assert printed.endswith("add it, or leave the case out")


def test_a_prediction_of_another_geometry_is_refused(label_maps: Path) -> None:
    write_nifti(label_maps / "mine" / "berta.nii.gz", np.zeros((16, 12, 5), np.uint8))
    ended = run("evaluate", "--pred", label_maps / "mine", "--truth", label_maps / "truth", "--out", label_maps / "out")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    message = ended.stderr[ended.stderr.index("error: ") :]
    assert message.startswith("error: case berta: true label map and label map differ in shape\n")
    assert "true label map 16 x 12 x 6, berta.nii.gz 16 x 12 x 5 voxels" in message
    assert not (label_maps / "out").exists()


@pytest.mark.parametrize("folder", ["truth", "mine"])
def test_probabilities_are_refused(label_maps: Path, folder: str) -> None:
    path = write_nifti(label_maps / folder / "berta.nii.gz", np.full((16, 12, 6), 0.25, np.float32))
    printed = not_evaluated(label_maps)
    assert printed.startswith("case berta: a label map holds values that are not labels\n  found:    0.25\n")
    assert f"whole numbers from 0 in {path}\n" in printed
    assert printed.endswith("point --truth and --pred at label maps, not at images or probabilities")


def test_without_a_table_labels_of_predictions_alone_are_measured(label_maps: Path) -> None:
    truth = np.zeros((16, 12, 6), np.uint8)
    truth[2:10, 2:6, 1:5] = 3
    for number, case in enumerate(("anna", "berta", "carl")):
        write_nifti(label_maps / "truth" / f"{case}.nii.gz", truth)
        write_nifti(label_maps / "mine" / f"{case}.nii.gz", truth + (8 if number == 1 else 0))
    evaluate(str(label_maps / "mine"), str(label_maps / "truth"), str(label_maps / "out"))
    invented = {(row["case"], row["organ"]): float(row["value"]) for row in read_rows(label_maps / "out" / "rows.csv")
                if row["metric"] == "false_positive_ml" and float(row["value"])}  # fmt: skip
    there = (truth == 3).sum() / 1000
    assert invented == {("berta", "label_8"): pytest.approx(truth.size / 1000 - there),
                        ("berta", "label_11"): pytest.approx(there)}  # fmt: skip


def test_evaluate_prints_only_its_result_and_progress(label_maps: Path) -> None:
    ended = run(
        "evaluate", "--pred", label_maps / "other", "--truth", label_maps / "truth", "--out", label_maps / "out"
    )
    found = "Mean Dice 1.000 over 3 cases of 3 patients (other). Detection F1 1.000 other; median HD95 0.0 mm other."
    assert ended.stdout == f"{found}\nreport: {label_maps}/out/report.html\n"
    assert "deprecated" not in ended.stderr


def test_embed_refuses_a_missing_bundle(tmp_path: Path) -> None:
    ended = run("embed", "--dataset_dir", tmp_path, "--bundle_root", tmp_path / "nowhere", "--organ", "liver")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    printed = ended.stderr[ended.stderr.index("error: ") :]
    assert printed.startswith("error: the bundle is missing\n")
    assert f"no {tmp_path / 'nowhere' / 'configs' / 'embed.yaml'}\n" in printed
    assert "set --bundle_root" in printed
    assert list(tmp_path.iterdir()) == []
