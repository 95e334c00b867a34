"""Files and folders an evaluation may replace."""

import pytest

from scripts.errors import SemclError
from scripts.evaluate.owned_outputs import claim
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
