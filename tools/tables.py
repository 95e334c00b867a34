"""Tables of the pages that are written from the code: ``python -m tools.tables``; ``--check`` only compares them.

A page holds ``<!-- NAME -->`` and ``<!-- end of NAME -->``, and the table lies between the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import fire

from scripts.intake.finding_kinds import FINDINGS

from .levers import levers

ROOT = Path(__file__).parent.parent
COLUMNS = ("finding", "severity", "what is wrong", "expected", "what to do")


def findings() -> str:
    """The table of findings in Markdown; an asterisk marks those that make a case unusable."""
    rows: list[tuple[str, ...]] = [COLUMNS, ("---",) * len(COLUMNS)]
    for name, kind in FINDINGS.items():
        mark = "*" if kind.unusable else ""
        rows.append((f"`{name}`{mark}", kind.severity, kind.problem, kind.expected, kind.remedy))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


TABLES: Mapping[tuple[str, str], Callable[[], str]] = {  # page and name between the marks -> table
    ("docs/cohort.md", "findings"): findings,
    ("docs/results/trials.md", "levers"): levers,
}


def updated(text: str, name: str, table: str) -> str:
    """A page with its table replaced.

    Raises:
        ValueError: when the page does not hold each mark once.
    """
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if text.count(first) != 1 or text.count(last) != 1:
        raise ValueError(f"expected {first} and {last} once each")
    return re.sub(f"{first}.*{last}", lambda _: f"{first}\n\n{table}\n\n{last}", text, flags=re.S)


def outdated() -> dict[Path, str]:
    """Pages whose table differs from the code's, with the text they should have."""
    found = {}
    for (page, name), table in TABLES.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        if (new := updated(text, name, table())) != text:
            found[path] = new
    return found


def tables(check: bool = False) -> None:
    """Write the tables; with ``check`` only name the pages that differ, with exit code 1."""
    pages = outdated()
    for path, text in pages.items():
        if check:
            print(f"{path.relative_to(ROOT)} is out of date: run python -m tools.tables", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
    if check and pages:
        sys.exit(1)


if __name__ == "__main__":
    fire.Fire(tables)
