"""Findings: allowed, hashed, shown and written."""

import csv
import io
from pathlib import Path

import pytest

from scripts.errors import SemclError
from scripts.intake.finding_kinds import FINDINGS
from scripts.intake.findings import (
    FINDING_COLUMNS,
    Finding,
    allow,
    as_csv,
    as_text,
    hash_ids,
    hash_key,
    stop,
    unusable_cases,
)

TWIN = Finding("anna", "duplicate_image", "the voxels of berta", ("berta",))
EMPTY = Finding("carl", "zero_bytes", "image /data/carl.nii.gz: 0 bytes", (Path("/data/carl.nii.gz"),))


def test_an_allowed_error_is_a_warning_and_others_stay():
    assert [item.severity for item in allow([TWIN, EMPTY], ["duplicate_image"])] == ["warning", "error"]
    note = Finding("a", "one_frame", "12 x 10 x 8 x 1")
    assert allow([note], ["one_frame"]) == [note]


def test_a_finding_that_does_not_exist_cannot_be_allowed():
    with pytest.raises(SemclError, match=r"(?s)allow has no such value.*found: +allow duplicates\n.*duplicate_image"):
        allow([], ["duplicates"])


def test_only_unusable_cases_are_left_out():
    assert unusable_cases([TWIN, EMPTY]) == {"carl"}


def test_stopping_raises_the_only_error_or_counts_them():
    stop(allow([TWIN], ["duplicate_image"]))
    with pytest.raises(SemclError, match=r"\Acase anna: the same voxels under two names\n  found:    the voxels of b"):
        stop([TWIN])
    with pytest.raises(SemclError, match=r"(?s)3 findings.*2 duplicate_image, 1 zero_bytes.*--allow duplicate_image,z"):
        stop([TWIN, TWIN, EMPTY])


def test_the_csv_has_one_line_per_finding():
    rows = list(csv.DictReader(io.StringIO(as_csv([TWIN, EMPTY, Finding(None, "label_names_differ", "x")]))))
    assert tuple(rows[0]) == FINDING_COLUMNS == ("case", "finding", "severity", "found", "expected", "remedy")
    assert [row["case"] for row in rows] == ["anna", "carl", "(cohort)"]
    kind = FINDINGS["zero_bytes"]
    assert list(rows[1].values())[1:] == ["zero_bytes", "error", EMPTY.found, kind.expected, kind.remedy]


def test_the_terminal_shows_errors_first_and_the_first_rows_of_many():
    notes = [Finding(f"n{number}", "one_frame", "12 x 10 x 8 x 1") for number in range(7)]
    lines = as_text([*notes, TWIN]).splitlines()
    assert lines[0] == "error   duplicate_image: the same voxels under two names (1)"
    assert "note    one_frame: a fourth axis of length 1 (7)" in lines
    assert sum(line.startswith("    n") for line in lines) == 5
    assert "    and 2 more: --csv FILE lists all" in lines
    assert lines[-1] == "1 error, 0 warnings, 7 notes"


def test_hashed_ids_are_the_same_under_a_key_and_others_under_another():
    twin, empty = hash_ids([TWIN, EMPTY], b"k" * 16)
    berta = hash_ids([Finding("berta", "constant_image", "0")], b"k" * 16)[0].case
    assert twin.found == f"the voxels of {berta}"
    assert empty.found == "image (file): 0 bytes"
    assert hash_ids([TWIN], b"l" * 16)[0].case != twin.case
    assert not {"anna", "berta", "carl"} & set(as_csv([twin, empty]).replace(",", " ").split())


def test_a_key_is_generated_once_and_readable_by_its_owner_only(tmp_path):
    key = hash_key(tmp_path / "key")
    assert len(key) == 32
    assert hash_key(tmp_path / "key") == key != hash_key(tmp_path / "other")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_a_short_key_is_refused(tmp_path):
    (tmp_path / "key").write_bytes(b"1234")
    with pytest.raises(SemclError, match=r"(?s)too short.*4 bytes in .*at least 16"):
        hash_key(tmp_path / "key")


def test_every_finding_has_a_remedy():
    assert all(kind.severity in ("error", "warning", "note") for kind in FINDINGS.values())
    assert all(kind.problem and kind.expected and kind.remedy for kind in FINDINGS.values())
    assert all(kind.severity == "error" for kind in FINDINGS.values() if kind.unusable)
