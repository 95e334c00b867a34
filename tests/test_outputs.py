"""Output folders: only empty ones and a stage's own are written into."""

import pytest

from scripts.errors import SemclError
from scripts.outputs import MARKER, Output, refuse_strange, visible


def test_an_empty_folder_is_claimed_and_recognised_again(tmp_path):
    output = Output(tmp_path / "maps", "maps", "--maps")
    output.claim()
    assert (tmp_path / "maps" / MARKER).is_file()
    (tmp_path / "maps" / "a").touch()
    output.check()
    with pytest.raises(SemclError, match="a marker of maps"):
        Output(tmp_path / "maps", "rows", "--rows").check()


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SemclError, match=r"(?s)not this stage's own.*mine\.txt the first, and no marker"):
        Output(tmp_path, "maps", "--maps").claim()
    assert not (tmp_path / MARKER).exists()


def test_a_folder_of_inputs_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "images")
    (tmp_path / "images").mkdir()
    for folder in ("images", "link"):
        with pytest.raises(SemclError, match="a stage would write over its own input"):
            Output(tmp_path / folder, "maps", "--maps").check([tmp_path / "images" / "a.nii"])


def test_only_files_the_stage_noted_are_removed(tmp_path):
    output = Output(tmp_path, "maps", "--maps")
    output.claim()
    for name in ("a", "b", "mine"):
        (tmp_path / name).touch()
    output.keep_only(["a", "b"])
    output.keep_only(["b"])
    assert [path.name for path in visible(tmp_path)] == ["b", "mine"]


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "out").touch()
    assert visible(tmp_path / "nowhere") == []
    with pytest.raises(SemclError, match="a file is where a folder is needed"):
        visible(tmp_path / "out")


def test_only_a_file_of_the_same_kind_is_replaced(tmp_path):
    path = tmp_path / "rows.csv"
    refuse_strange(path, lambda text: False, "rows", "--out")
    path.write_text("case,organ")
    refuse_strange(path, lambda text: text.startswith("case"), "rows", "--out")
    path.write_bytes(b"\xff")
    with pytest.raises(SemclError, match="no such file, or rows that SemCL wrote"):
        refuse_strange(path, lambda text: True, "rows", "--out")
