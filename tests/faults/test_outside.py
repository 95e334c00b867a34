"""Invalid options and input files of commands: one message, exit code 2, and nothing written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import __main__ as command_line
from tests.faults.inputs import TABLE, Folder
from tests.stages import ROOT, workflow_of

REFUSED: dict[str, tuple[Callable[[Folder], Any], str]] = {}
BOMB = "organs: {liver: 1}\n" + "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)  # fmt: skip


def refuses(printed: str) -> Callable[[Callable[[Folder], Any]], Callable[[Folder], Any]]:
    """Register a run: a function that damages a folder of two pairs and returns a command line."""

    def register(build: Callable[[Folder], Any]) -> Callable[[Folder], Any]:
        REFUSED[build.__name__] = (build, printed)
        return build

    return register


def check(f, *words):
    return ["check", "--images", f.images, "--labels", f.labels, *words]


def table(f, content):
    path = f.root / "labels.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return check(f, "--table", path)


def sheet(f, content):
    path = f.root / "cases.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return check(f, "--cases", path)


def prepare(f, *words):
    (f.root / "labels.yaml").write_text(yaml.safe_dump(TABLE.content()))
    return ["prepare", *check(f)[1:], "--table", f.root / "labels.yaml", "--out", f.root / "out", *words]


@refuses("there is no command pop")
def a_method_of_fire_s_dictionary(f):
    return ["pop", "check"]


@refuses("--folds is not a number")
def folds_of_letters(f):
    return prepare(f, "--folds", "abc")


@refuses("--test_share cannot be nan")
def a_share_of_nan(f):
    return prepare(f, "--test_share", "nan")


@refuses("--test_share is not a number")
def a_share_of_letters(f):
    return prepare(f, "--test_share", "abc")


@refuses("--seed is not a number")
def a_seed_of_letters(f):
    return prepare(f, "--seed", "abc")


@refuses("--workers is not a number")
def workers_of_letters(f):
    return prepare(f, "--workers", "abc")


@refuses("--hash_ids is not a writable file")
def a_key_that_is_a_folder(f):
    return check(f, "--hash_ids", f.root)


@refuses("--csv is not a writable file")
def a_list_of_findings_that_is_a_folder(f):
    return check(f, "--csv", f.root)


@refuses("--csv is not a writable file")
def a_list_of_findings_inside_of_a_file(f):
    return check(f, "--csv", f.images / "a.nii.gz" / "findings.csv")


@refuses("--out has no value")
def a_folder_without_its_name(f):
    return prepare(f)[:-1]


@refuses("is not a label table")
def a_phase_that_is_a_date_and_an_index_that_is_one(f):
    return table(f, "organs: {liver: 2024-13-45}\nphases: [2024-01-01]")


@refuses("is not YAML")
def a_number_that_is_none(f):
    return table(f, "organs: {liver: !!int abc}")


@refuses("is not YAML")
def a_time_that_is_none(f):
    return table(f, "organs: {liver: !!timestamp abc}")


@refuses("is not YAML")
def a_table_of_3000_levels(f):
    return table(f, "[" * 3000)


@refuses("more than 100000 entries, aliases written out")
def a_table_of_a_billion_laughs(f):
    return table(f, BOMB)


@refuses("'liver' is there twice")
def an_organ_given_twice(f):
    return table(f, "organs: {liver: 1, liver: 2}")


@refuses("found:    UTF-16")
def a_label_table_in_utf_16(f):
    return table(f, "organs: {liver: 1}".encode("utf-16"))


@refuses("is too large")
def a_label_table_that_is_a_scan(f):
    return table(f, b"x" * 300_000)


@refuses("byte 0xfc in line 2, as in Latin-1 or Windows-1252")
def a_table_of_cases_in_latin_1(f):
    return sheet(f, "case,patient,phase\na,Müller,ct\n".encode("latin-1"))


@refuses("cases.csv: UTF-16")
def a_table_of_cases_in_utf_16_as_excel_writes_it(f):
    return sheet(f, "case\tpatient\tphase\na\tp\tct\n".encode("utf-16"))


@refuses("field larger than field limit")
def a_cell_of_200_000_characters(f):
    return sheet(f, f"case,patient,phase\n{'a' * 200_000},p,ct\n")


@refuses("fold a number below 1000 or test")
def a_fold_of_5000_digits(f):
    return sheet(f, f"case,patient,phase,fold\na,p,ct,{'1' * 5000}\nb,q,ct,0\n")


@refuses("a NUL byte in line 2")
def a_table_of_cases_with_a_nul_byte(f):
    return sheet(f, b"case,patient,phase\na,p\0,ct\n")


@refuses("column patient twice")
def a_column_that_is_there_twice(f):
    return sheet(f, "case,patient,phase,patient\na,p,ct,q\n")


@refuses("is not an overlay")
def an_empty_overlay(f):
    (f.root / "mine.yaml").write_text("# nothing\n")
    return ["embed", "--dataset_dir", f.root, "--overlay", f.root / "mine.yaml"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_command_refuses_invalid_input_in_one_message_and_writes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build, printed = REFUSED[name]
    folder = Folder(tmp_path)
    folder.pair("a", "b")
    words = [str(word) for word in build(folder)]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(sys, "argv", ["scripts", *words])
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    message = capsys.readouterr().err
    message = message[message.index("error: ") :]
    assert printed in message
    assert [message.count(part) for part in ("error: ", "found: ", "expected: ", "do this: ")] == [1, 1, 1, 1]
    assert len(message) < 1500
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_monai_fails_on_an_empty_overlay_before_the_bundle_can_say_so(tmp_path: Path) -> None:
    """Where MONAI has learnt to read one, docs/runs.md need not mention it any more."""
    assert "MONAI fails on an empty overlay" in " ".join((ROOT / "docs" / "runs.md").read_text().split())
    (tmp_path / "mine.yaml").write_text("# nothing\n")
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'items'"):
        workflow_of("train", tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("{}\n")
    with_it, without = workflow_of("train", tmp_path / "mine.yaml"), workflow_of("train")
    assert with_it.parser.get() == without.parser.get()
