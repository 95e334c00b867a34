"""Rows of shards: read again only for unchanged files."""

import os
from dataclasses import replace

import pytest

from scripts.evaluate.rows import measure_cases
from scripts.evaluate.shard_rows import ShardRows
from tests.evaluate.made import TABLE, label_map, write_case


@pytest.fixture
def measured(tmp_path):
    """The rows of two cases in a folder, as one shard left them."""
    cases = [
        write_case(tmp_path, name, name, "portal", labels=label_map(), coarse=label_map(shift))
        for name, shift in (("a", 1), ("b", 2))
    ]
    methods = {"coarse": tmp_path / "coarse"}
    rows = measure_cases(cases, methods, TABLE)
    kept = ShardRows(tmp_path / "rows", methods, TABLE, 2.0)
    kept.write("1of1", cases, rows)
    return kept, cases, rows, methods


def test_rows_are_read_back_by_case(measured):
    kept, cases, rows, _ = measured
    assert kept.read(cases) == {case.id: [row for row in rows if row.case == case.id] for case in cases}
    assert list(kept.read(cases[:1])) == ["a"]


def test_rows_of_changed_files_or_cases_are_not_read(measured, tmp_path):
    kept, (a, b), _, _ = measured
    assert list(kept.read([replace(a, patient="other"), b])) == ["b"]
    os.utime(tmp_path / "coarse" / "b.nii.gz", ns=(1, 1))
    assert list(kept.read([a, b])) == ["a"]


def test_rows_of_another_tolerance_or_damaged_files_are_not_read(measured, tmp_path):
    kept, cases, _, methods = measured
    assert ShardRows(tmp_path / "rows", methods, TABLE, 3.0).read(cases) == {}
    assert ShardRows(tmp_path / "rows", methods, TABLE, 2.0, "edges").read(cases) == {}
    first, *others = TABLE.organs
    wider = replace(TABLE, organs=(replace(first, tolerance=5.0), *others))
    assert ShardRows(tmp_path / "rows", methods, wider, 2.0).read(cases) == {}
    (tmp_path / "rows" / "1of1.json").write_text('{"key"')
    assert kept.read(cases) == {}
