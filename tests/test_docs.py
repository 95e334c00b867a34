"""The documentation: examples run, tables agree with the code, lines are wrapped."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

from scripts.__main__ import check, prepare
from scripts.intake.finding_kinds import FINDINGS
from scripts.version import __version__
from tools import levers, tables
from tools.structure import ROOMS

PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
BLOCKS = {
    f"{path.name}, {number}": block
    for path in PAGES
    if path.name != "auto3dseg.md"  # run by tests/auto3dseg/test_tutorial.py, with its commands
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S), 1)
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_python_example_runs(block):
    exec(compile(block, "example", "exec"), {})


def test_the_tables_from_the_code_are_up_to_date():
    assert [str(path) for path in tables.outdated()] == [], "run python -m tools.tables"


def test_the_table_of_findings_has_each_finding_once():
    rows = re.findall(r"^\| `(\w+)`(\*?) \| (\w+) \|.*\| (.*) \|$", tables.findings(), re.M)
    listed = {name: (star == "*", severity, remedy) for name, star, severity, remedy in rows}
    assert listed == {name: (kind.unusable, kind.severity, kind.remedy) for name, kind in FINDINGS.items()}
    assert len(rows) == len(FINDINGS)


def test_a_table_is_written_between_its_marks_alone():
    page = "before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n"
    new = "before\n<!-- a -->\n\n| \\1 |\n\n<!-- end of a -->\nafter\n"
    assert tables.updated(page, "a", "| \\1 |") == new == tables.updated(new, "a", "| \\1 |")
    with pytest.raises(ValueError, match="once each"):
        tables.updated(page, "b", "")


def test_the_code_page_lists_the_rooms_in_order():
    text = Path("docs/code.md").read_text(encoding="utf-8")
    assert ("", *re.findall(r"^\| `(\w+)/` \|", text, re.M)) == ROOMS


@pytest.mark.parametrize("command", [check, prepare])
def test_the_cohort_page_lists_every_option(command):
    text = Path("docs/cohort.md").read_text(encoding="utf-8")
    options = set(inspect.signature(command).parameters) - {"unknown"}
    assert not [name for name in options if f"| `--{name}` |" not in text]


def prose(text):
    """Lines of a page that are not in a code block, a table or a line that is a link alone."""
    kept, code = [], False
    for line in text.splitlines():
        code ^= line.lstrip().startswith("```")
        if not code and not re.match(r"\s*(\||```|!?\[[^]]*\]\([^)]*\)\W*$)", line):
            kept.append(line)
    return kept


@pytest.mark.parametrize("page", [*PAGES, Path("CHANGELOG.md")], ids=str)
def test_a_page_is_wrapped_at_120_columns(page):
    assert [line for line in prose(page.read_text(encoding="utf-8")) if len(line) > 120] == []


def test_only_prose_must_be_wrapped():
    assert prose("a\n```\ncode\n```\n| table |\n[link](b)\n  ![picture](c).\n- [d](e) f") == ["a", "- [d](e) f"]


def test_citation_metadata_and_changelog_have_the_version():
    cited = re.search(r"^version: (.+)$", Path("CITATION.cff").read_text(encoding="utf-8"), re.M)
    assert cited is not None
    released = re.findall(r"^## (\d.*)$", Path("CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    metadata = json.loads(Path("bundle/configs/metadata.json").read_text(encoding="utf-8"))
    assert {cited[1], released[0], metadata["version"]} == {__version__}
    assert list(metadata["changelog"]) == released


def test_a_lever_s_interval_is_that_of_all_levers_with_the_same_part_trained():
    against = {"scratch": [0.7, 0.6], "maps alone": [0.5, 0.5]}
    entries = [
        {"lever": "a", "how": "", "trained": "maps", "runs": [0.73, 0.61]},  # +0.03 and +0.01
        {"lever": "b", "how": "maps alone", "trained": "maps", "runs": [0.49, 0.51]},  # -0.01 and +0.01
        {"lever": "c", "how": "", "trained": "refiner", "runs": [0.71, 0.61]},
        {"lever": "d", "how": "one run", "told": "0.7", "difference": ""},
    ]
    assert levers.differences(entries[0], against) == pytest.approx([0.03, 0.01])
    assert levers.differences(entries[1], against) == pytest.approx([-0.01, 0.01])
    half = levers.half_widths(entries, against)
    assert half["maps"] == pytest.approx(4.303 * 0.02 / 2, rel=1e-3)  # t of 2, a run's SD 0.02 / sqrt 2, two runs
    assert half["refiner"] == pytest.approx(0)


def test_the_interval_of_a_lever_covers_what_it_should():
    rng = np.random.default_rng(0)
    against, covered = {"scratch": [0.0, 0.0]}, []
    for _ in range(400):
        runs = rng.normal(0.02, 0.01, (12, 2)).tolist()
        entries = [{"lever": str(number), "how": "", "trained": "maps", "runs": run} for number, run in enumerate(runs)]
        half = levers.half_widths(entries, against)["maps"]
        covered.append(np.mean(np.abs(np.mean(runs, axis=1) - 0.02) < half))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)
