"""The table of cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.intake.case_table import read_rows


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("fold", ["1" * 5000, "1000", "-1", "0.7", "1e3", "½", "٣", "nan", "Test"])
def test_an_invalid_fold_is_refused(fold, tmp_path):
    path = written(tmp_path, f"case,patient,fold\na,p,{fold}\n")
    with pytest.raises(SemclError, match=r"(?s)an invalid line .*line 2 of .*fold .*a number below 1000 or test"):
        read_rows(path, ("case", "patient"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Fold", "fold"), ("folds", "fold"), ("FOLD", "fold"), ("set", "fold"), ("Split", "fold"),
     ("annotatd", "annotated"), ("Phase", "phase"), ("labels", "label")],
)  # fmt: skip
def test_a_misspelt_column_is_refused(name, meant, tmp_path):
    path = written(tmp_path, f"case,patient,{name}\na,p,1\n")
    with pytest.raises(SemclError, match=rf"(?s)nothing reads.*found: *{name} in .*rename it to {meant}"):
        read_rows(path, ("case", "patient"))


@pytest.mark.parametrize("name", ["age", "scanner", "notes", "folder", "dose"])
def test_other_columns_are_left_alone(name, tmp_path):
    assert len(read_rows(written(tmp_path, f"case,patient,{name}\na,p,1\n"), ("case", "patient"))) == 1


@pytest.mark.parametrize("fold", ["0", "12", "999", "test", ""])
def test_a_valid_fold_is_kept(fold, tmp_path):
    (row,) = read_rows(written(tmp_path, f"case,patient,fold\na,p,{fold}\n"), ("case", "patient"))
    assert row.fold == (fold or None)


def test_empty_cells_are_none_and_organs_may_be_separated_by_semicolons(tmp_path):
    path = written(tmp_path, "case,patient,phase,annotated\na,p,,liver; spleen\nb,p,portal,\n")
    first, second = read_rows(path, ("case", "patient"))
    assert (first.phase, first.annotated) == (None, ("liver", "spleen"))
    path = written(tmp_path, "case,patient,phase,annotated\na,p,ct,left kidney;liver\nb,p,ct,left kidney;\n")
    assert [row.annotated for row in read_rows(path, ("case",))] == [("left kidney", "liver"), ("left kidney",)]
    assert (second.phase, second.annotated) == ("portal", None)
