"""What the documentation shows can be run as it stands."""

import inspect
import re
from pathlib import Path

import pytest

from scripts.__main__ import check, prepare
from scripts.intake.finding_kinds import FINDINGS

BLOCKS = {
    f"{path.name}, {number}": block
    for path in [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
    if path.name != "auto3dseg.md"  # run by tests/auto3dseg/test_tutorial.py, with its commands
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.S), 1)
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_python_example_runs(block):
    exec(compile(block, "example", "exec"), {})


def test_the_page_on_data_lists_every_finding_as_it_is():
    rows = re.findall(
        r"^\| `(\w+)`(\*?) \| (\w+) \|.*\| (.*) \|$", Path("docs/cohort.md").read_text(encoding="utf-8"), re.M
    )
    listed = {name: (star == "*", severity, remedy) for name, star, severity, remedy in rows}
    assert listed == {name: (kind.unusable, kind.severity, kind.remedy) for name, kind in FINDINGS.items()}


@pytest.mark.parametrize("command", [check, prepare])
def test_the_page_on_data_lists_every_option(command):
    text = Path("docs/cohort.md").read_text(encoding="utf-8")
    options = set(inspect.signature(command).parameters) - {"unknown"}
    assert not [name for name in options if f"| `--{name}` |" not in text]
