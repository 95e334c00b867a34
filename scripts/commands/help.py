"""Help on the command line, from the signatures and docstrings of the commands."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator

from .arguments import Commands, program, spelled

WIDTH = 100  # columns
HELP = {"--help", "-h", "help"}


def overview(commands: Commands) -> str:
    """Return the commands, each with what it does."""
    wide = max(map(len, commands))
    lines = [_filled(f"  {name:{wide}}  ", _summary(command)) for name, command in commands.items()]
    usage = f"usage: {program()} COMMAND --OPTION VALUE ...\n       {program()} COMMAND --help\n"
    stages = "A single stage, with every key of its config as an option:\n  python -m monai.bundle run --config_file "
    return "\n".join([usage, *lines, "", f"{stages}bundle/configs/STAGE.yaml --dataset_dir COHORT"])


def of_command(name: str, command: Callable[..., None]) -> str:
    """Return what a command does and its options, those that must be given first."""
    parameters = inspect.signature(command).parameters.values()
    needed = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    usage = " ".join(f"--{spelled(one.name)} {spelled(one.name).upper()}" for one in needed)
    explained = dict(_explained(inspect.getdoc(command) or ""))
    wide = max(map(len, explained)) + 4
    lines = []
    for one in parameters:
        if one.kind is one.VAR_KEYWORD:
            lines += [_filled(f"  {'--KEY':{wide}}", explained[one.name])] if one.name in explained else []
            continue
        given = "" if one.default in (one.empty, None, (), "") else f" [{one.default}]"
        lines.append(_filled(f"  {'--' + spelled(one.name):{wide}}", f"{explained[one.name]}{given}"))
    return "\n".join([_summary(command), "", f"usage: {program()} {name} {usage} [--OPTION VALUE ...]", "", *lines])


def _summary(command: Callable[..., None]) -> str:
    return (inspect.getdoc(command) or "").partition("\n")[0]


def _explained(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the explanation of each argument that a docstring lists."""
    listed = text.partition("Args:\n")[2].partition("\nRaises:")[0]
    for name, words in re.findall(r"^    (\w+): ((?:.|\n(?!    \w+:))*)", listed, re.M):
        yield name, " ".join(words.split()).replace("``", "`")


def _filled(start: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
