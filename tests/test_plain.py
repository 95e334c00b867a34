"""Text, YAML and JSON files of users: read, or refused quickly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.plain import (
    LARGE_BYTES,
    YAML_BYTES,
    parse_yaml,
    read_json,
    read_text,
    read_yaml,
    short,
)

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
READ = [
    ("a: 2024-01-01", {"a": "2024-01-01"}),
    ("a: 2024-13-45", {"a": "2024-13-45"}),
    ("a: [1, 2.5, true, null, x]", {"a": [1, 2.5, True, None, "x"]}),
    ("a: !!str 5", {"a": "5"}),
    (
        "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: *x",
        {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"b": 1, "c": 2}},
    ),
    ("1: a\n2: b", {1: "a", 2: "b"}),
    ("", None),
    ("[" * 49 + "]" * 49, None),
]


@pytest.mark.parametrize(("text", "meant"), READ)
def test_plain_yaml_is_read(text, meant):
    found = parse_yaml(text, "mine.yaml", "a mapping")
    assert meant is None or found == meant


REFUSED = [
    ("a: !!int abc", "invalid literal"),
    ("a: !!int ''", "string index"),
    ("a: !!bool x", "'x'"),
    ("a: !!float x", "could not convert"),
    ("a: !!timestamp abc", "timestamp"),
    ("a: !!timestamp 2024-13-45", "timestamp"),
    ("a: !!binary abc", "binary"),
    ("a: !!set {b}", "set"),
    ("a: !!python/object/apply:os.system [ls]", "os.system"),
    ("!!map x", "expected a mapping node"),
    (f"a: {'9' * 5000}", "digits"),
    ("a: {b: 1, b: 2}", "'b' is there twice"),
    ("a: &a [*a]", "*a, which holds itself"),
    ("a: *b", "undefined alias"),
    ("<<: 3", "for merging"),
    ("? [a]\n: b", "unhashable key"),
    ("--- a\n--- b", "another document"),
    ("a: \x01", "special characters"),
    ("[" * 3000, "more than 50 levels"),
    ("- " * 3000, "more than 50 levels"),
    ("\n".join(" " * level + "a:" for level in range(400)), "more than 50 levels"),
    (LAUGHS, "more than 100000 entries"),
    (
        "x: &x {" + ",".join(f"k{n}: {n}" for n in range(500)) + "}\ny: [" + "*x," * 400 + "]",
        "more than 100000 entries",
    ),
]


@pytest.mark.parametrize(("text", "found"), REFUSED)
def test_yaml_that_is_not_plain_data_is_refused_at_once(text, found):
    start = time.monotonic()
    with pytest.raises(SemclError, match=r"mine\.yaml is not YAML") as raised:
        parse_yaml(text, "mine.yaml", "a mapping")
    assert time.monotonic() - start < 10
    assert found in str(raised.value.found)
    assert len(str(raised.value)) < 600
    assert (raised.value.expected, raised.value.remedy) == ("a mapping", "edit mine.yaml")


ENCODED = [
    ("é".encode("latin-1"), "byte 0xe9 in line 1, as in Latin-1 or Windows-1252"),
    ("\n\n“a”".encode("cp1252"), "byte 0x93 in line 3, as in Latin-1 or Windows-1252"),
    ("a: 1".encode("utf-16"), "UTF-16"),
    ("a: 1".encode("utf-16-be"), "UTF-16 without a mark"),
    ("a: 1".encode("utf-32"), "UTF-32"),
    (b"a: 1\nb: \0", "a NUL byte in line 2"),
]


@pytest.mark.parametrize(("content", "found"), ENCODED, ids=[found for _, found in ENCODED])
def test_another_encoding_is_named(content, found, tmp_path):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(SemclError, match=r"a\.yaml is not text in UTF-8\n.*\n.*\n.*save it as UTF-8") as raised:
        read_text(tmp_path / "a.yaml")
    assert raised.value.found == found


def test_utf_8_is_read_with_and_without_byte_order_mark(tmp_path: Path) -> None:
    for content in ("ä".encode(), "ä".encode("utf-8-sig")):
        (tmp_path / "a.txt").write_bytes(content)
        assert read_text(tmp_path / "a.txt") == "ä"


def test_utf_8_is_read_by_a_process_that_can_load_no_more_codecs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("ä".encode("utf-8-sig"))
    code = (
        "import sys; from pathlib import Path; from scripts.plain import read_text; "
        "sys.modules['encodings.utf_8_sig'] = None; print(ascii(read_text(Path(sys.argv[1]))))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")], capture_output=True, check=False)
    assert ended.stdout.split() == [b"'\\xe4'"], ended.stderr


def test_a_path_that_is_not_a_file_is_refused_without_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nowhere", Path("/dev/zero")):
        with pytest.raises(SemclError, match=f"there is no such file\n  found:    no file {path}\n"):
            read_text(path)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    for most, read in ((YAML_BYTES, read_yaml), (LARGE_BYTES, read_json)):
        with open(tmp_path / "a", "wb") as file:
            file.truncate(most + 1)
        with pytest.raises(
            SemclError, match=rf"a is too large\n  found:    {most + 1} bytes\n  expected: at most {most}"
        ):
            read(tmp_path / "a", "anything")


@pytest.mark.parametrize(
    ("text", "found"),
    [("[" * 200_000, "RecursionError"), ('{"a": ' * 200_000, "RecursionError"), ("{", "JSONDecodeError"), ("", "JSON"),
     ("9" * 5000, "ValueError Exceeds the limit")],
    ids=["deep lists", "deep mappings", "cut", "empty", "a number of 5000 digits"],
)  # fmt: skip
def test_invalid_json_is_refused(text, found, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SemclError, match=r"a\.json is not JSON") as raised:
        read_json(tmp_path / "a.json", "a list")
    assert found in str(raised.value.found)
    assert len(str(raised.value)) < 600


def test_a_long_value_is_cut() -> None:
    assert short([1, 2]) == "[1, 2]"
    assert short("x" * 400) == "x" * 300 + " ..."
