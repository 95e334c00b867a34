"""Report the fuzz test's counts at the end of a run."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many probes of each kind were made."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [value for report in reports for name, value in report.user_properties if name == "probes"]
    if lines:
        terminalreporter.write_line("fuzz: " + "; ".join(lines))
