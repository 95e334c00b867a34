"""The words of a shell: commands, their options as text, and help."""

from __future__ import annotations

import sys

import pytest

from scripts import __main__ as command_line
from scripts.commands.arguments import SEPARATOR, Call, parse, program
from scripts.commands.phantom import phantom
from scripts.errors import SemclError


def said(words, monkeypatch, capsys, program="scripts"):
    """What the command line prints for some words."""
    monkeypatch.setattr(sys, "argv", [program, *words])
    command_line.main()
    return capsys.readouterr().out


@pytest.mark.parametrize(("given", "near"), [("prepar", "prepare"), ("pop", None), ("items", None), ("keys", None)])
def test_an_unknown_command_is_refused(given, near, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scripts", given, "x"])
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: there is no command {given}\n")
    assert f"one of {', '.join(command_line.COMMANDS)}\n" in printed
    assert (f"did you mean {near}?" if near else "--help") in printed


@pytest.mark.parametrize(
    ("given", "call"),
    [
        (["--out", "b"], {"out": "b"}),
        (["--pred", "a", "--out", "b"], {"pred": "a", "out": "b"}),
        (["--out=a=b"], {"out": "a=b"}),
        (["--pred", "a", "--out", "b", "--pred=c,d"], {"pred": f"a{SEPARATOR}c,d", "out": "b"}),
        (["x", "--new-option", "--predict", "a"], {"out": "x", "new_option": True, "predict": "a"}),
        (["--out", "2024_01", "--cases", "-3"], {"out": "2024_01", "cases": "-3"}),
    ],
    ids=["one", "two", "with a sign", "repeated", "options nobody knows", "numbers stay text"],
)
def test_words_become_a_call(given, call) -> None:
    assert parse(["phantom", *given], {"phantom": phantom}, "pred") == Call("phantom", call)


@pytest.mark.parametrize("words", [["--out", "a", "--out", "b"], ["--out=a", "--out"], ["--audit", "--audit"]])
def test_an_option_that_is_given_twice_is_refused(words):
    with pytest.raises(SemclError, match=r"^--(out|audit) is given twice"):
        parse(["phantom", *words], {"phantom": phantom}, "pred")


def test_missing_options_are_named_in_one_message():
    with pytest.raises(SemclError, match=r"^phantom needs --out\n(.|\n)*phantom --out OUT\n(.|\n)*phantom --help"):
        parse(["phantom"], {"phantom": phantom}, "pred")


@pytest.mark.parametrize(("started", "name"), [("/usr/bin/semcl", "semcl"), ("x/__main__.py", "python -m scripts")])
def test_messages_name_the_program_as_it_was_started(started, name, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started])
    assert program() == name


def test_the_version_is_printed(monkeypatch, capsys):
    from scripts import __version__

    assert said(["--version"], monkeypatch, capsys) == f"semcl {__version__}\n"


def test_a_switch_needs_no_value() -> None:
    def command(out: str, json: bool = False) -> None:
        """Only its signature counts."""

    for words, given in (
        (["--out", "b", "--json"], True),
        (["--json", "--out", "b"], True),
        (["--json", "False", "--out", "b"], "False"),
    ):
        assert parse(["audit", *words], {"audit": command}, "pred").options == {"out": "b", "json": given}
