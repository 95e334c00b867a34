"""The words of a shell: a command, its options as text, and what is refused before any work."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import SemclError
from ..printable import in_words

SEPARATOR = "\0"  # between the values of an option that was given several times: no argument can hold it
Commands = Mapping[str, Callable[..., None]]


class Call(NamedTuple):
    """A command's name, and its options as text: True for one without a value."""

    command: str
    options: dict[str, str | bool]


def program() -> str:
    """Return how this program was started, for messages: semcl, or python -m scripts."""
    return "semcl" if Path(sys.argv[0]).stem == "semcl" else f"python -m {__name__.partition('.')[0]}"


def spelled(parameter: str) -> str:
    """Return a parameter's option without dashes: ``from_`` is --from, a word that Python reserves."""
    return parameter.removesuffix("_")


def parse(given: Sequence[str], commands: Commands, repeated: str) -> Call:
    """Return the call that the words of a shell are.

    Args:
        given: a command and its options.
        commands: by name.
        repeated: the option of which all values are kept, joined by ``SEPARATOR``; others are given once.

    Raises:
        SemclError: for an unknown command, an option that is given twice or without its value, words left over, and
            options that are missing.
    """
    command, *rest = given
    _require_command(command, commands)
    parameters = inspect.signature(commands[command]).parameters
    valued = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    names = {spelled(name): name for name in parameters}
    call, loose = Call(command, {}), list[str]()
    while rest:
        word = rest.pop(0)
        name, sign, value = word.lstrip("-").partition("=")
        name = names.get(name.replace("-", "_"), name.replace("-", "_"))
        if is_option(word) and name in call.options and name != repeated:
            raise SemclError(
                f"--{spelled(name)} is given twice",
                found=" ".join(given),
                expected="each option once",
                remedy="leave one of them out",
            )
        if not is_option(word) or word == "-":
            loose.append(word)
        elif sign or (rest and not is_option(rest[0])):
            before = f"{call.options[name]}{SEPARATOR}" if name == repeated and name in call.options else ""
            call.options[name] = before + (value if sign else rest.pop(0))
        elif name in valued and parameters[name].default is False:
            call.options[name] = True
        elif name in valued:
            raise SemclError(
                f"--{spelled(name)} has no value",
                found=f"{rest[0]} after it" if rest else "nothing after it",
                expected=f"--{spelled(name)} VALUE, or --{spelled(name)}=VALUE for a value that begins with -",
                remedy="add it",
            )
        else:
            call.options[name] = True
    free = [name for name in valued if name not in call.options]
    _refuse_surplus(command, loose[len(free) :])
    missing = [spelled(name) for name in free[len(loose) :] if parameters[name].default is inspect.Parameter.empty]
    _require_options(command, missing)
    return Call(command, {**dict(zip(free, loose, strict=False)), **call.options})


def _require_command(command: str, commands: Commands) -> None:
    if command not in commands:
        near = difflib.get_close_matches(command, commands, 1)
        raise SemclError(
            f"there is no command {command}",
            found=command,
            expected=f"one of {', '.join(commands)}",
            remedy=f"did you mean {near[0]}?" if near else f"run {program()} --help",
        )


def _refuse_surplus(command: str, left: Sequence[str]) -> None:
    if left:
        raise SemclError(
            f"{command} has no use for {left[0]}",
            found=" ".join(left),
            expected="--option VALUE",
            remedy="quote a value that holds blanks, and name the option of each value",
        )


def _require_options(command: str, missing: Sequence[str]) -> None:
    if missing:
        raise SemclError(
            f"{command} needs {in_words([f'--{name}' for name in missing])}",
            found=f"{program()} {command} without {'it' if len(missing) == 1 else 'them'}",
            expected=f"{program()} {command} {' '.join(f'--{name} {name.upper()}' for name in missing)}",
            remedy=f"add {'it' if len(missing) == 1 else 'them'}; {program()} {command} --help explains every option",
        )


def is_option(word: str) -> bool:
    """Whether a word is an option rather than a value."""
    return word == "-" or word.startswith("--") or re.match(r"-[a-zA-Z]", word) is not None
