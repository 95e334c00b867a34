"""Freshness: stamps of sources, keys, and notes that may be damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.freshness import key, newer, noted, stamp


def written(path: Path, seconds: int, text: str = "x") -> Path:
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return path


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a", 5)
    first = stamp(path)
    assert first == [1, 5 * 10**9] == stamp(path)
    assert stamp(written(path, 5, "longer")) != first
    assert stamp(written(path, 6)) != first
    assert stamp(tmp_path / "none") is stamp(None) is None


def test_the_stamp_of_a_folder_changes_with_the_files_in_it(tmp_path: Path) -> None:
    written(tmp_path / "1.dcm", 5)
    second = written(tmp_path / "2.dcm", 5)
    os.utime(tmp_path, (6, 6))
    first = stamp(tmp_path)
    assert stamp(tmp_path) == first
    written(second, 7, "y")
    os.utime(tmp_path, (6, 6))
    assert stamp(tmp_path) != first
    assert not newer(written(tmp_path.parent / "made", 7), [tmp_path])
    assert newer(written(tmp_path.parent / "made", 8), [tmp_path])


def test_the_stamp_of_a_header_changes_with_its_voxels(tmp_path: Path) -> None:
    header = written(tmp_path / "a.mhd", 5, "ObjectType = Image\nElementDataFile = a.raw\n")
    alone = stamp(header)
    first = [stamp(header) for _ in [written(tmp_path / "a.raw", 5, "voxels")]]
    assert first != [alone]
    written(tmp_path / "a.raw", 9, "VOXELS")
    assert stamp(header) != first[0]
    assert not newer(written(tmp_path / "made", 8), [header])


def test_a_header_that_names_no_file_is_a_file_of_its_own(tmp_path: Path) -> None:
    assert stamp(written(tmp_path / "a.mhd", 5, f"ElementDataFile = {'x' * 300}\n")) == [319, 5 * 10**9]


def test_a_key_changes_with_each_of_its_parts() -> None:
    assert key([1, "a", None]) == key((1, "a", None)) != key([1, "a", 0])


def test_newer_requires_existing_files_and_earlier_sources(tmp_path: Path) -> None:
    source, made = written(tmp_path / "source", 5), written(tmp_path / "made", 6)
    assert newer(made, [source])
    assert newer(made, [])
    assert not newer(source, [made])
    assert not newer(made, [source, made])  # written at the same time
    assert not newer(made, [source, tmp_path / "none"])
    assert not newer(tmp_path / "none", [source])


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"7", b"\xff", b"[" * 100_000], ids=range(6))
def test_a_damaged_note_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note.json").write_bytes(content)
    assert noted(tmp_path / "note.json") == noted(tmp_path / "none.json") == {}


def test_a_note_is_read(tmp_path: Path) -> None:
    (tmp_path / "note.json").write_text('{"a": [1]}')
    assert noted(tmp_path / "note.json") == {"a": [1]}
