"""Options of the command line: what a shell's words become, and what is refused before any work."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts import __main__ as command_line
from scripts.commands.option_readers import Switch
from scripts.commands.options import (
    Count,
    CountOrNone,
    FoldsOrNone,
    Limits,
    Listed,
    Millimetres,
    NewPath,
    Repeated,
    Seed,
    Share,
    checked,
)
from scripts.errors import SemclError

SEEN: dict[str, Any] = {}


@checked
def sample(
    out: str,
    cases: Count = 16,
    seed: Seed = 0,
    folds: FoldsOrNone = 0,
    pictures: CountOrNone = 5,
    share: Share = 0.4,
    tolerance: Millimetres = 2.0,
    names: Listed = "a,b",
    file: NewPath | None = None,
    workers: Count | None = None,
    pred: Repeated = (),
    window: Limits = "percentile",
    **unknown: object,
) -> None:
    """What every kind of option becomes."""
    SEEN.clear()
    SEEN.update(locals())


def run_with(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """The command line with one command of every kind of option."""
    monkeypatch.setitem(command_line.COMMANDS, "phantom", sample)
    monkeypatch.setattr(sys, "argv", ["scripts", "phantom", *words])
    command_line.main()


@pytest.mark.parametrize(
    "text", ["2024_01", "1e3", "a,b", "007", "True", "None", "[a]", "{x}", "'quoted'", "0x10", "1.0", "~", "ä b", "-"]
)
def test_a_path_stays_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch, f"--out={text}", f"--file={text}", f"--pred={text}")
    assert (SEEN["out"], SEEN["file"], SEEN["pred"]) == (text, text, [text])


def test_an_output_folder_is_made_where_the_option_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["phantom", "--out", "2024_01", "--cases", "3", "--folds", "2", "--test_share", "0.3"]
    monkeypatch.setattr(sys, "argv", ["scripts", *words])
    command_line.main()
    assert [path.name for path in tmp_path.iterdir()] == ["2024_01"]


def test_default_values_are_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch, "--out", "x")
    wanted = {"cases": 16, "names": ["a", "b"], "file": None, "workers": None, "pred": [], "window": "percentile"}
    assert {name: SEEN[name] for name in wanted} == wanted


READ = [
    ("cases", "3", 3),
    ("cases", "1e2", 100),
    ("cases", "1_000", 1000),
    ("seed", "4294967295", 4294967295),
    ("folds", "0", 0),
    ("folds", "2", 2),
    ("pictures", "0", 0),
    ("share", "0", 0),
    ("share", ".25", 0.25),
    ("tolerance", "1e-3", 0.001),
    ("names", "semantic,my own/warm start.yaml", ["semantic", "my own/warm start.yaml"]),
    ("names", "['a', \"b\"]", ["a", "b"]),
    ("names", "(a,b)", ["a", "b"]),
    ("names", "10%, 0.5,1", ["10%", "0.5", "1"]),
    ("names", "1e3", ["1e3"]),
    ("names", "[]", []),
    ("file", "", None),
    ("window", "-160,240", [-160, 240]),
    ("window", "[0, 0.5]", [0, 0.5]),
    ("pred", "a b", ["a b"]),
]


@pytest.mark.parametrize(("name", "text", "meant"), READ)
def test_a_value_is_converted_as_its_option_declares(name, text, meant, monkeypatch):
    run_with(monkeypatch, "--out", "x", f"--{name}={text}")
    assert SEEN[name] == meant
    assert type(SEEN[name]) is type(meant)


@pytest.mark.parametrize("name", ["cases", "share", "names", "window", "pred"])
def test_python_values_are_accepted(name: str) -> None:
    given = {"cases": 3, "share": 0.5, "names": ("a", "b"), "window": (0, 1), "pred": [Path("a"), "b"]}
    sample(Path("x"), **{name: given[name]})
    assert SEEN[name] == {**given, "names": ["a", "b"], "window": [0, 1], "pred": ["a", "b"]}[name]


REFUSED = [
    ("cases", "abc", "is not a number"),
    ("cases", "2.5", "is not a whole number"),
    ("cases", "nan", "is not a whole number"),
    ("cases", "inf", "is not a whole number"),
    ("cases", "9" * 5000, "is not a whole number"),
    ("cases", "0", "cannot be 0"),
    ("cases", "-3", "cannot be -3"),
    ("workers", "0", "cannot be 0"),
    ("workers", "True", "is not a number"),
    ("seed", "-1", "cannot be -1"),
    ("seed", "4294967296", "cannot be 4294967296"),
    ("folds", "1", "cannot be 1"),
    ("folds", "abc", "is not a number"),
    ("pictures", "-1", "cannot be -1"),
    ("share", "nan", "cannot be nan"),
    ("share", "abc", "is not a number"),
    ("share", "1", "cannot be 1"),
    ("share", "-0.1", "cannot be -0.1"),
    ("tolerance", "0", "cannot be 0"),
    ("tolerance", "inf", "cannot be inf"),
    ("window", "1", "is not an intensity window"),
    ("window", "240,-160", "is not an intensity window"),
    ("window", "nan,1", "is not an intensity window"),
    ("window", "a,b", "is not an intensity window"),
    ("out", "", "is empty"),
]


@pytest.mark.parametrize(("name", "text", "problem"), REFUSED)
def test_an_invalid_value_is_refused_in_one_message(name, text, problem, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_with(monkeypatch, *(["--out", "x"] if name != "out" else []), f"--{name}={text}")
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: --{name} {problem}")
    assert f"do this:  set --{name}\n" in printed
    assert len(printed) < 6000


@pytest.mark.parametrize(
    "value", [True, 7, None, ["a"], "a\0b"], ids=["a switch", "a number", "nothing", "a list", "a NUL byte"]
)
def test_a_path_from_python_is_text_too(value: Any) -> None:
    with pytest.raises(SemclError, match=r"--out is not text"):
        sample(value)


def test_a_file_to_write_is_neither_a_folder_nor_inside_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    sample("x", file=str(tmp_path / "new" / "folder" / "findings.csv"))
    for path, found in {tmp_path: "is a folder", tmp_path / "file" / "x.csv": "file is not a folder"}.items():
        with pytest.raises(SemclError, match=rf"--file is not a writable file\n.*{found}"):
            sample("x", file=str(path))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out"], "--out has no value\n  found:    nothing after it"),
        (["--out", "--cases", "3"], "--out has no value\n  found:    --cases after it"),
        (["--out", "-"], "--out has no value\n  found:    - after it"),
        (["--out", "-x"], "--out has no value\n  found:    -x after it\n  expected: --out VALUE, or --out=VALUE"),
        (["-out"], "--out has no value"),
        (["--cases", "3", "--out", "x", "--file"], "--file has no value"),
        (["--out", "x", "--verbose"], "sample has no option --verbose"),
        (["--out", "x", *"abcdefghijklmno"], "phantom has no use for l"),
        (["--out", "my", "cohort"], "--cases is not a number"),
        (["x", "-"], "--cases is not a number"),
    ],
)  # fmt: skip
def test_words_that_are_no_options_and_values_are_refused(words, message, monkeypatch, capsys):
    SEEN.clear()
    with pytest.raises(SystemExit, match="2"):
        run_with(monkeypatch, *words)
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not SEEN


def test_several_folders_reach_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(monkeypatch, "--out", "x", "--pred", "a", "--pred", "2024_01")
    assert SEEN["pred"] == ["a", "2024_01"]


def test_every_command_is_checked() -> None:
    assert all(hasattr(command, "__wrapped__") for command in command_line.COMMANDS.values())


@dataclass
class Shared:
    """Options of several commands.

    Args:
        name: of a thing.
        table: of organs.
        count: of things.
    """

    name: str
    table: str | None = None
    count: Count = 1


def test_options_that_commands_share_are_spelled_once() -> None:
    received: list[tuple[Shared, str, str]] = []

    @checked
    def command(shared: Shared, out: str, table: str, **unknown: object) -> None:
        """Do something.

        Args:
            shared: options.
            out: a folder.
            table: needed here.
        """
        received.append((shared, out, table))

    assert list(inspect.signature(command).parameters) == ["name", "out", "table", "count", "unknown"]
    assert str(command.__doc__).count("    count: of things.") == 1
    assert "of organs" not in str(command.__doc__)
    command("n", "o", table="t", count="3")
    assert received == [(Shared("n", "t", 3), "o", "t")]
    with pytest.raises(SemclError, match=r"--count is not a number"):
        command("n", "o", "t", count="many")
    with pytest.raises(SemclError, match=r"command has no option --nam\n(.*\n)*.*did you mean --name"):
        command("n", "o", "t", nam="x")


def test_a_switch_is_true_or_false() -> None:
    assert [Switch().read("json", value) for value in (True, "True", False, "False")] == [True, True, False, False]
    with pytest.raises(SemclError, match="json has no such value"):
        Switch().read("json", "perhaps")
