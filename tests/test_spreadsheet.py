"""CSV files of users: as spreadsheets write them, and invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.intake.case_table import read_rows
from scripts.spreadsheet import CELL, read_csv

HEAD = "case,patient,phase\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "a,p,ct\n",
        "\ufeff" + HEAD + "a,p,ct\n",
        "case, patient ,phase,,\r\na,p, ct,,\r\n",
        '\n"case","patient","phase"\n\n a ,p,"ct"\n,,\n',
        HEAD.replace("\n", "\r") + "a,p,ct",
    ],
    ids=["plain", "with a mark", "empty columns", "quoted, with blank lines", "old line ends"],
)
def test_what_spreadsheets_write_is_read(text, tmp_path):
    ((_, row),) = read_csv(written(tmp_path, text), "no table")
    assert [row[name] for name in ("case", "patient", "phase")] == ["a", "p", "ct"]


def test_rows_carry_their_line_number(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + '\n"a\nb",p,ct\n\nc,,ct\n')
    assert [number for number, _ in read_csv(path, "no table")] == [4, 6]
    with pytest.raises(SemclError, match=r"line 6 of \S+/cases\.csv: c, \?, ct"):
        read_rows(path, ("case", "patient", "phase"))


REFUSED = {
    "latin-1": ("case,patient\né,p\n".encode("latin-1"), "byte 0xe9 in line 2, as in Latin-1"),
    "utf-16, as Excel writes it": ("case\tpatient\na\tp\n".encode("utf-16"), "UTF-16"),
    "a NUL byte": (b"case,patient\na,p\0\n", "a NUL byte in line 2"),
    "a cell of 200,000 characters": (HEAD + f"{'a' * 200_000},p,ct\n", "field larger than field limit"),
    "a column twice": ("case,patient,case\na,p,b\n", "column case twice"),
    "a quote that does not end": (HEAD + 'a,p,ct\nb,"p,ct\nc,p,ct\n', "unexpected end of data"),
    "a cell too many": (HEAD + "a,p,ct,more\n", "4 cells in line 2, 3 columns"),
    "no file": (None, "no file"),
}


@pytest.mark.parametrize(("content", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_an_invalid_csv_is_refused(content, found, tmp_path):
    path = tmp_path / "cases.csv" if content is None else written(tmp_path, content)
    with pytest.raises(SemclError, match="the table of cases cannot be used") as raised:
        read_rows(path, ("case", "patient"))
    assert str(path) in str(raised.value.found)
    assert found in str(raised.value.found)
    assert len(str(raised.value)) < 800


def test_the_longest_cell_is_longer_than_a_path(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + f"{'a' * (CELL - 1)},p,ct\n")
    assert len(read_csv(path, "no table")[0][1]["case"]) == CELL - 1
