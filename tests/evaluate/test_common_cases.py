"""Cases that not every side has: measured where told so, named where left out, refused otherwise."""

from pathlib import Path

import numpy as np
import pytest

from scripts.cohort.case import Case
from scripts.commands.evaluate import evaluate
from scripts.errors import SemclError
from scripts.evaluate.folders import common_cases, measurable
from tests.conftest import write_nifti
from tests.evaluate.made import label_map


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Ground truth of a, b and c; maps of b, c and d by one method and of c, d and e by another."""
    for folder, names in {"truth": "abc", "mine": "bcd", "theirs": "cde"}.items():
        for name in names:
            write_nifti(tmp_path / folder / f"{name}.nii.gz", label_map())
    return tmp_path


def test_what_all_sides_have_is_measured_and_the_rest_is_named(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred = [str(folders / "mine"), str(folders / "theirs")]
    evaluate(pred=pred, truth=str(folders / "truth"), out=str(folders / "out"), common="true", workers=1)
    lines = (folders / "out" / "rows.csv").read_text().splitlines()[1:]
    assert {line.partition(",")[0] for line in lines} == {"c"}
    printed = capsys.readouterr().out
    assert "not measured, no map of mine or theirs (1): a" in printed
    assert "not measured, no map of theirs (1): b" in printed
    assert "not measured, no ground truth for the maps of mine (1): d" in printed
    assert "not measured, no ground truth for the maps of theirs (2): d, e" in printed


def test_a_missing_map_is_refused_where_it_is_not_asked_for(folders: Path) -> None:
    with pytest.raises(SemclError, match="no label map of method mine"):
        evaluate(pred=[str(folders / "mine")], truth=str(folders / "truth"), out=str(folders / "out"), workers=1)


def test_maps_without_ground_truth_are_named(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "truth" / "a.nii.gz").unlink()
    evaluate(pred=[str(folders / "mine")], truth=str(folders / "truth"), out=str(folders / "out"), workers=1)
    lines = (folders / "out" / "rows.csv").read_text().splitlines()[1:]
    assert {line.partition(",")[0] for line in lines} == {"b", "c"}
    assert "not measured, no ground truth for the maps of mine (1): d" in capsys.readouterr().out


def test_scans_that_do_not_fit_are_all_named_before_anything_is_measured(folders: Path) -> None:
    for name in "abc":
        write_nifti(folders / "scans" / f"{name}.nii.gz", label_map()[:, :, : None if name == "a" else -1])
    out, given = folders / "out", {"pred": [str(folders / "truth")], "truth": str(folders / "truth")}
    with pytest.raises(SemclError, match=r"^2 problems in the scans") as caught:
        evaluate(**given, out=str(out), images=str(folders / "scans"), workers=1)
    assert all(f"case {name}: image and label map differ in shape" in str(caught.value) for name in "bc")
    assert not out.exists()


def test_folders_without_a_common_case_are_refused(folders: Path) -> None:
    write_nifti(folders / "others" / "x.nii.gz", np.ones((2, 2, 2), np.uint8))
    with pytest.raises(SemclError, match=r"(?s)no case to measure.*no map of others: a, b, c"):
        common_cases(folders / "truth", {"others": folders / "others"})


def test_cases_without_a_label_map_are_left_out_and_named() -> None:
    cases = [Case(name, name, "ct", Path("x"), Path("y") if name == "a" else None) for name in ("a", "b")]
    assert measurable(cases, {}, False) == (cases[:1], {"without a label map": ["b"]})
    with pytest.raises(SemclError, match="there is no case to measure"):
        measurable(cases[1:], {}, False)


def test_maps_of_a_cohorts_other_cases_do_not_lack_a_ground_truth(tmp_path: Path) -> None:
    for name in ("a", "learnt", "stranger"):
        write_nifti(tmp_path / "maps" / f"{name}.nii.gz", np.ones((2, 2, 2), np.uint8))
    cases = [Case("a", "a", "ct", Path("x"), Path("y"))]
    _, left_out = measurable(cases, {"maps": tmp_path / "maps"}, True, ["a", "learnt"])
    assert left_out == {"no ground truth for the maps of maps": ["stranger"]}
