"""The words of a shell, prepared for fire."""

from __future__ import annotations

import sys

import pytest

from scripts import __main__ as command_line
from scripts.commands.arguments import SEPARATOR, arguments


@pytest.mark.parametrize(("given", "near"), [("prepar", "prepare"), ("pop", None), ("items", None), ("keys", None)])
def test_an_unknown_command_is_refused(given, near, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scripts", given, "x"])
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: there is no command {given}\n")
    assert f"one of {', '.join(command_line.COMMANDS)}\n" in printed
    assert (f"did you mean {near}?" if near else "--help") in printed


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["check", "--", "--help"]])
def test_help_still_comes_from_fire(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scripts", *words])
    monkeypatch.setenv("PAGER", "cat")
    with pytest.raises(SystemExit, match="0"):
        command_line.main()
    assert "SYNOPSIS" in (printed := "".join(capsys.readouterr()))
    assert "METADATA" not in printed


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["--out", "b"], ["--out='b'"]),
        (["--pred", "a", "--out", "b"], ["--pred='a'", "--out='b'"]),
        (["--pred=a=b"], ["--pred='a=b'"]),
        (["--pred", "a", "--out", "b", "--pred=c,d"], [f"--pred={'a' + SEPARATOR + 'c,d'!r}", "--out='b'"]),
        (["--pred", "a", "--", "--pred", "b"], ["--pred='a'", "--", "--pred", "b"]),
        (["--out", "a", "--out", "b"], ["--out='b'"]),
        (["x", "--new-option", "--predict", "a"], ["'x'", "--new-option", "--predict='a'"]),
    ],
    ids=["none", "one", "with a sign", "two", "for fire itself", "another option twice", "options nobody knows"],
)
def test_all_values_of_a_repeated_option_are_kept(given: list[str], made: list[str]) -> None:
    assert arguments(["phantom", *given], {"phantom": command_line.COMMANDS["phantom"]}, "pred") == ["phantom", *made]
