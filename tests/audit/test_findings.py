"""Findings: worst first, as CSV and as plain data, above a threshold unless allowed."""

import csv
import math

import pytest

from scripts.audit.findings import AUDIT_COLUMNS, AuditFinding, above, by_suspicion, write_audit
from scripts.errors import SemclError

GIVEN = [
    AuditFinding("b", "liver", "leak", 0.2, "larger"),
    AuditFinding("a", "liver", "", math.nan, "fewer than 3"),
    AuditFinding("=c", "", "wrong_phase", 0.9, "listed as portal"),
    AuditFinding("b", "spleen", "island", 0.8, "in pieces"),
]


def test_the_worst_come_first_and_those_without_a_verdict_last():
    assert [one.suspicion for one in by_suspicion(GIVEN)][:3] == [0.9, 0.8, 0.2]
    assert by_suspicion(GIVEN)[-1].case == "a"


def test_those_above_a_threshold_count_unless_allowed():
    assert [one.name for one in above(GIVEN, 0.5)] == ["wrong_phase", "island"]
    assert [one.name for one in above(GIVEN, 0.5, ["wrong_phase"])] == ["island"]
    with pytest.raises(SemclError, match="did you mean leak"):
        above(GIVEN, 0.5, ["leek"])


def test_as_csv(tmp_path):
    write_audit(tmp_path / "audit.csv", GIVEN)
    with open(tmp_path / "audit.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == AUDIT_COLUMNS
    assert rows[0] == {"case": "b", "organ": "liver", "finding": "leak", "suspicion": "0.200", "reason": "larger",
                       "suggestion": "erase what is not the organ"}  # fmt: skip
    assert rows[1]["suspicion"] == rows[1]["finding"] == ""
    assert rows[2]["case"] == "'=c"  # no spreadsheet computes it


def test_as_plain_data_it_has_what_findings_of_intake_have():
    found = GIVEN[2].content
    assert found["severity"] == "error"
    assert {"case", "finding", "severity", "found", "expected", "remedy"} <= set(found)
    assert found["organ"] is None
    assert GIVEN[1].content["suspicion"] is None
