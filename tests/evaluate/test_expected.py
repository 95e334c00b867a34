"""The Dice that inference expected beside the measured one."""

import json

import pytest
from scipy.stats import pearsonr

from scripts.evaluate.expected import expected_beside_measured
from scripts.evaluate.rows import Row
from scripts.refine.expected_dice import quality_path
from tests.stages import run_here

MEASURED = {"a": {"liver": 0.9, "spleen": 0.5}, "b": {"liver": 0.8, "spleen": 0.1}}
ROWS = [
    Row(case, case, organ, "portal", method, "dice", dice if method == "refined" else 0.0)
    for case, organs in MEASURED.items()
    for organ, dice in organs.items()
    for method in ("coarse", "refined")
]


def write(folder, expected):
    for case, organs in expected.items():
        content = {"dice": None, "organs": {organ: {"dice": dice} for organ, dice in organs.items()}}
        quality_path(folder, case).write_text(json.dumps(content))


def test_pairs_are_those_of_the_method_and_of_organs_with_both(tmp_path):
    write(tmp_path, {"a": {"liver": 0.95, "spleen": 0.7, "aorta": 0.3}, "b": {"liver": 0.9}, "c": {"liver": 0.1}})
    found = expected_beside_measured(ROWS, "refined", tmp_path)
    assert sorted(zip(found.expected, found.measured, strict=True)) == [(0.7, 0.5), (0.9, 0.8), (0.95, 0.9)]
    content = found.content()
    assert content["organs_of_scans"] == 3
    assert content["rank_correlation"] == pytest.approx(1)
    pairs = [(0.7, 0.5), (0.9, 0.8), (0.95, 0.9)]
    assert content["correlation"] == pytest.approx(pearsonr(*zip(*pairs, strict=True)).statistic)
    assert content["mean_absolute_error"] == pytest.approx(0.35 / 3)
    assert content["mean_difference"] == pytest.approx(0.35 / 3)
    assert "Of 3 segmented organs of scans" in found.in_words()


def test_an_organ_that_is_drawn_where_there_is_none_has_dice_0(tmp_path):
    absent = [Row("a", "a", organ, "portal", "refined", "false_positive_ml", ml)
              for organ, ml in (("kidney", 20.0), ("aorta", 0.0))]  # fmt: skip
    write(tmp_path, {"a": {"liver": 0.95, "kidney": 0.9, "aorta": 0.3}, "b": {"liver": 0.9}})
    found = expected_beside_measured([*ROWS, *absent], "refined", tmp_path)
    assert sorted(zip(found.expected, found.measured, strict=True)) == [(0.9, 0.0), (0.9, 0.8), (0.95, 0.9)]


def test_equal_values_have_no_correlation(tmp_path):
    write(tmp_path, {"a": {"liver": 0.5, "spleen": 0.5}, "b": {"liver": 0.5}})
    found = expected_beside_measured(ROWS, "refined", tmp_path)
    assert found.content()["rank_correlation"] is found.content()["correlation"] is None
    assert "correlation" not in found.in_words()


def test_damaged_files_are_left_out_with_a_warning_and_too_few_are_not_compared(tmp_path, capsys):
    write(tmp_path, MEASURED)
    quality_path(tmp_path, "a").write_text("{")
    assert expected_beside_measured(ROWS, "refined", tmp_path) is None
    assert "a.quality.json cannot be used" in capsys.readouterr().err
    assert expected_beside_measured(ROWS, "refined", tmp_path / "nowhere") is None


def test_the_report_and_its_summary_have_the_comparison(cohort, tmp_path):
    maps = tmp_path / "refined"
    maps.mkdir()
    for path in (cohort / "labels").iterdir():
        (maps / path.name).symlink_to(path)
        write(maps, {path.name.removesuffix(".nii.gz"): {"liver": 0.9, "spleen": 0.8}})
    run_here("evaluate", dataset_dir=cohort, methods={"coarse": str(cohort / "labels"), "refined": str(maps)})
    found = json.loads((cohort / "summary.json").read_text())["expected_dice"]
    assert found["mean_difference"] == pytest.approx(-0.15)
    page = (cohort / "report.html").read_text()
    assert "The Dice that inference expected" in page or "the Dice that inference expected" in page
    assert (cohort / "figures" / "expected.svg").is_file()
