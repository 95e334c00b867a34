"""Help on the command line."""

import inspect
import re

import pytest

from scripts.__main__ import COMMANDS
from tests.commands.test_arguments import said


@pytest.mark.parametrize("words", [[], ["--help"], ["help"], ["-h"]])
def test_the_overview_has_each_command_with_what_it_does(words, monkeypatch, capsys):
    printed = said(words, monkeypatch, capsys, "semcl")
    assert printed.startswith("usage: semcl COMMAND")
    listed = re.findall(r"^  ([\w-]+) +(\w.*)", printed, re.M)
    assert [name for name, _ in listed if name != "python"] == list(COMMANDS)
    assert max(map(len, printed.splitlines())) <= 120


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_the_help_of_a_command_explains_each_option_once(name, word, monkeypatch, capsys):
    printed = said([name, word], monkeypatch, capsys)
    options = [one for one in inspect.signature(COMMANDS[name]).parameters if one not in ("unknown", "overrides")]
    assert re.findall(r"^  --(\w+)  +\w", printed, re.M) == [one.rstrip("_") for one in options] + ["KEY"] * (
        "overrides" in inspect.signature(COMMANDS[name]).parameters
    )
    assert not [word for word in ("flags", "SYNOPSIS", "'", "unknown") if f" {word} " in printed]


def test_defaults_are_shown_and_what_must_be_given_comes_first(monkeypatch, capsys):
    printed = said(["phantom", "--help"], monkeypatch, capsys)
    assert "usage: python -m scripts phantom --out OUT [--OPTION VALUE ...]" in printed
    assert re.search(r"--folds +parts of the training patients for cross-fitting. \[3\]", printed)
