"""Files and folders an evaluation may replace."""

import base64

import pytest

from scripts.errors import SemclError
from scripts.evaluate.owned_outputs import claim, holds_only_rows, report_shows
from scripts.evaluate.rows import ROW_COLUMNS
from scripts.outputs import MARKER

OWN = {
    "rows.csv": ",".join(ROW_COLUMNS) + "\n",
    "summary.json": '{"headline": "", "methods": [], "means": []}',
    "report.html": "<title>SemCL report: a</title>",
}


def test_files_of_an_evaluation_are_replaced(tmp_path):
    for name, text in OWN.items():
        (tmp_path / name).write_text(text)
    claim(tmp_path, [], pictures=False)
    assert (tmp_path / "figures" / MARKER).is_file()
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("name", OWN)
def test_other_files_are_kept(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(SemclError, match="is not ours"):
        claim(tmp_path, [], pictures=True)
    assert not (tmp_path / "figures").exists()


def test_checking_changes_nothing(tmp_path):
    claim(tmp_path, [], pictures=True, check_only=True)
    assert list(tmp_path.iterdir()) == []


def test_an_unmarked_folder_is_adopted_if_the_report_shows_its_files(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"picture")
    (folder / "a.svg").write_text("<svg/>\n")
    (tmp_path / "report.html").write_text(f"{base64.b64encode(b'picture').decode()} <svg/>")
    assert report_shows(folder, tmp_path)
    (folder / "b.png").write_bytes(b"another")
    assert not report_shows(folder, tmp_path)


def test_a_folder_of_rows_holds_nothing_else(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "1of2.json").write_text('{"key": "k", "cases": {}}')
    assert holds_only_rows(tmp_path)
    (tmp_path / "rows" / "notes.txt").write_text("mine")
    assert not holds_only_rows(tmp_path)
