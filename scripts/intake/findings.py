"""Findings of a cohort: allowed or not, shown as one table, written as CSV, with ids hashed on request."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..cohort.volume_errors import ERROR, NOTE, WARNING
from ..errors import SemclError, one_of
from ..files import write_text
from ..outputs import refuse_strange
from ..printable import plain_cell, printable
from .finding_kinds import FINDINGS

FINDING_COLUMNS = ("case", "finding", "severity", "found", "expected", "remedy")
SHOWN_ROWS = 5  # of a finding shown on the terminal; the CSV has all
COHORT = "(cohort)"


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Args:
        case: case id; None when it concerns the cohort.
        name: of its kind, a key of ``FINDINGS``.
        found: what was there.
        about: parts of ``found`` that identify a person: paths, and other cases' ids.
        severity: that of the kind unless it was allowed.
        expected: that of the kind unless it is more specific.
    """

    case: str | None
    name: str
    found: str
    about: tuple[str | Path, ...] = ()
    severity: str = field(default="")
    expected: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "severity", self.severity or FINDINGS[self.name].severity)
        object.__setattr__(self, "expected", self.expected or FINDINGS[self.name].expected)

    @property
    def row(self) -> tuple[str, ...]:
        """The values of ``FINDING_COLUMNS``."""
        return (
            self.case or COHORT, self.name, self.severity, self.found, self.expected, FINDINGS[self.name].remedy
        )  # fmt: skip

    @property
    def error(self) -> SemclError:
        """The finding as an error to raise."""
        kind = FINDINGS[self.name]
        return SemclError(kind.problem, case=self.case, found=self.found, expected=self.expected, remedy=kind.remedy)


def allow(findings: Iterable[Finding], names: Collection[str]) -> list[Finding]:
    """The findings, with errors of the given names turned into warnings.

    Raises:
        SemclError: for an unknown name.
    """
    for name in names:
        one_of("allow", name, list(FINDINGS))
    allowed = [(item, item.name in names and item.severity == ERROR) for item in findings]
    return [replace(item, severity=WARNING) if accepted else item for item, accepted in allowed]


def unusable_cases(findings: Iterable[Finding]) -> set[str]:
    """Cases that no stage can work with: left out of the cohort once their findings are allowed."""
    return {item.case for item in findings if item.case is not None and FINDINGS[item.name].unusable}


def hash_ids(findings: Iterable[Finding], key: bytes) -> list[Finding]:
    """The findings without identifying data: case ids become HMACs under ``key``, paths become "(file)"."""

    def hashed(case: str) -> str:
        return "h" + hmac.new(key, case.encode(), hashlib.sha256).hexdigest()[:12]

    made = []
    for item in findings:
        texts = {"found": item.found, "expected": item.expected}
        for piece in sorted(item.about, key=lambda piece: -len(str(piece))):  # paths before the names in them
            replacement = "(file)" if isinstance(piece, Path) else hashed(piece)
            pattern = rf"(?<!\w){re.escape(str(piece))}(?!\w)"
            texts = {name: re.sub(pattern, replacement, text) for name, text in texts.items()}
        made.append(replace(item, case=None if item.case is None else hashed(item.case), about=(), **texts))
    return made


def hash_key(path: Path) -> bytes:
    """The key in a file; created at random, readable by its owner only, when the file does not exist.

    Raises:
        SemclError: when the key is too short.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    key = path.read_bytes()
    if len(key) < 16:
        raise SemclError(
            "a key too short to hash ids with",
            found=f"{len(key)} bytes in {path}",
            expected="at least 16",
            remedy="name a file that does not exist: a key is written into it",
        )
    return key


def as_csv(findings: Iterable[Finding]) -> str:
    """All findings as CSV with the columns ``FINDING_COLUMNS``."""
    text, rows = io.StringIO(), (map(plain_cell, item.row) for item in findings)
    csv.writer(text, lineterminator="\n").writerows([FINDING_COLUMNS, *rows])
    return text.getvalue()


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Write the findings as CSV.

    Raises:
        SemclError: when the file exists and holds anything but findings.
    """
    head = ",".join(FINDING_COLUMNS)
    refuse_strange(path, lambda text: text.startswith(head), "findings", "--csv")
    write_text(path, as_csv(findings))


def as_text(findings: Sequence[Finding]) -> str:
    """The findings for a terminal: errors first, grouped by kind, with the first rows of each and its remedy."""
    order = (ERROR, WARNING, NOTE)
    counts = Counter((item.severity, item.name) for item in findings)
    lines = []
    for severity, name in sorted(counts, key=lambda kind: (order.index(kind[0]), list(FINDINGS).index(kind[1]))):
        kind = FINDINGS[name]
        these = [item for item in findings if (item.severity, item.name) == (severity, name)]
        lines.append(f"{severity:7} {name}: {kind.problem} ({len(these)})")
        wide = max(len(item.row[0]) for item in these[:SHOWN_ROWS])
        lines += [f"    {item.row[0]:{wide}}  {item.found}" for item in these[:SHOWN_ROWS]]
        if len(these) > SHOWN_ROWS:
            lines.append(f"    and {len(these) - SHOWN_ROWS} more: --csv FILE lists all")
        lines += [f"    expected: {these[0].expected}", f"    do this:  {kind.remedy}"]
    total = Counter(item.severity for item in findings)
    lines.append(", ".join(f"{total[severity]} {severity}{'s' * (total[severity] != 1)}" for severity in order))
    return printable("\n".join(lines))


def stop(findings: Iterable[Finding]) -> None:
    """Raise when there are errors; the whole table has been shown before.

    Raises:
        SemclError: the error itself if there is one, else the number of each kind.
    """
    errors = [item for item in findings if item.severity == ERROR]
    if len(errors) == 1:
        raise errors[0].error
    if errors:
        counts = Counter(item.name for item in errors)
        raise SemclError(
            f"{len(errors)} findings that are errors",
            found=", ".join(f"{count} {name}" for name, count in counts.items()),
            expected="none",
            remedy=f"fix each as the table recommends, or accept it: --allow {','.join(counts)}",
        )
