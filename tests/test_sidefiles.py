"""Small JSON files beside results."""

import pytest

from scripts.errors import SemclError
from scripts.sidefiles import for_show, plain_note, read_note


@pytest.mark.parametrize("text", ["", "[1]", "12", "{", "[" * 100_000])
def test_a_damaged_file_is_an_error_or_left_out(text, tmp_path, capsys):
    path = tmp_path / "note.json"
    path.write_text(text)
    with pytest.raises(SemclError, match=r"(?s)note\.json cannot be used.*expected: a note.*do this:  make it"):
        read_note(path, "a note", "make it")
    assert for_show(path, plain_note) is None
    assert f"warning: {path} cannot be used and is left out" in capsys.readouterr().err


def test_a_sound_file_is_read(tmp_path, capsys):
    path = tmp_path / "note.json"
    path.write_text('{"a": 1}')
    assert read_note(path, "a note", "make it") == for_show(path, plain_note) == {"a": 1}
    assert capsys.readouterr().err == ""


def test_a_warning_cannot_control_the_terminal(tmp_path, capsys):
    for_show(tmp_path / "\x1b[2Jnote.json", plain_note)
    assert "\x1b" not in capsys.readouterr().err
