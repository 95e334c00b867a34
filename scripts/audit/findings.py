"""What an audit reports: one line per object or scan, worst first, for people (CSV) and for programs (JSON)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import one_of
from ..files import write_text
from ..printable import plain_cell
from .kinds import AUDIT_KINDS

AUDIT_COLUMNS = ("case", "organ", "finding", "suspicion", "reason", "suggestion")
WHOLE_SCAN = ""  # organ of a finding about the whole scan


@dataclass(frozen=True)
class AuditFinding:
    """One object or scan.

    Args:
        case: its id.
        organ: the organ; ``WHOLE_SCAN`` for the scan.
        name: the most probable kind of error, a key of ``AUDIT_KINDS``; empty without a verdict.
        suspicion: the probability that there is one; NaN without a verdict.
        found: why.
    """

    case: str
    organ: str
    name: str
    suspicion: float
    found: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The values of ``AUDIT_COLUMNS``."""
        known = math.isfinite(self.suspicion)
        remedy = AUDIT_KINDS[self.name].remedy if self.name else "look at it yourself"
        return self.case, self.organ, self.name, f"{self.suspicion:.3f}" if known else "", self.found, remedy

    @property
    def content(self) -> dict[str, object]:
        """The finding as plain data, with the columns of intake's findings and suspicion and organ besides."""
        kind = AUDIT_KINDS.get(self.name)
        return {
            "case": self.case,
            "organ": self.organ or None,
            "finding": self.name or None,
            "severity": kind.severity if kind else None,
            "suspicion": round(self.suspicion, 4) if math.isfinite(self.suspicion) else None,
            "found": self.found,
            "expected": kind.expected if kind else None,
            "remedy": kind.remedy if kind else None,
        }


def by_suspicion(findings: Collection[AuditFinding]) -> list[AuditFinding]:
    """The findings, worst first; those without a verdict last."""
    return sorted(
        findings, key=lambda one: (-one.suspicion if math.isfinite(one.suspicion) else 1.0, one.case, one.organ)
    )


def above(findings: Sequence[AuditFinding], threshold: float, allowed: Collection[str] = ()) -> list[AuditFinding]:
    """The findings of a suspicion above a threshold whose kind is not allowed.

    Raises:
        SemclError: for an unknown kind.
    """
    for name in allowed:
        one_of("allow", name, list(AUDIT_KINDS))
    return [one for one in findings if one.suspicion > threshold and one.name not in allowed]


def write_audit(path: Path, findings: Sequence[AuditFinding]) -> None:
    """Write the findings as CSV with the columns ``AUDIT_COLUMNS``."""
    text = io.StringIO()
    rows = (map(plain_cell, one.cells) for one in findings)
    csv.writer(text, lineterminator="\n").writerows([AUDIT_COLUMNS, *rows])
    write_text(path, text.getvalue())
