"""The file of a checkpoint: written whole or not at all, read as plain tensors, kept under another name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scripts.errors import SemclError
from scripts.job.checkpoint_file import keep_checkpoint, load_checkpoint, write_checkpoint

STATE = {"origin": {"cohort": "a"}, "config": {"seed": 0}, "epoch": 3}


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "train.checkpoint.pt"
    write_checkpoint(path, STATE | {"weight": torch.arange(3.0)}, lambda: None)
    found = load_checkpoint(path, "")
    assert found.pop("weight").tolist() == [0, 1, 2]
    assert found == STATE


def test_the_one_before_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "train.checkpoint.pt"
    write_checkpoint(path, STATE, lambda: None)

    def fails() -> None:
        raise OSError("no room")

    with pytest.raises(SemclError, match=r"(?s)cannot be written.*no room"):
        write_checkpoint(path, STATE | {"epoch": 4}, fails)
    assert load_checkpoint(path, "")["epoch"] == 3
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_earlier_one_is_kept_when_the_first_new_one_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.checkpoint.pt"
    write_checkpoint(path, STATE, lambda: None)
    write_checkpoint(path, STATE | {"epoch": 1}, lambda: keep_checkpoint(path, "train"))
    assert load_checkpoint(path, "")["epoch"] == 1
    assert load_checkpoint(tmp_path / "train.checkpoint.previous.pt", "")["epoch"] == 3
    assert "train: started from scratch" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"cut", {"epoch": 1}])
def test_what_is_missing_or_damaged_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "train.checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    message = r"(?s)nothing to resume.*the last run completed" if content is None else "the checkpoint cannot be read"
    with pytest.raises(SemclError, match=message):
        load_checkpoint(path, "completed")
