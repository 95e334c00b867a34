"""The words of a shell, prepared for fire: what fire would misread is quoted or refused."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence

from ..errors import SemclError

SEPARATOR = "\0"  # between the values of an option that was given several times: no argument can hold it


def arguments(given: Sequence[str], commands: Mapping[str, Callable[..., None]], repeated: str) -> list[str]:
    """Return the arguments of a shell in a form that fire cannot misread.

    Args:
        given: a command and its options.
        commands: by name.
        repeated: the option of which all values are kept; of others the last is, as fire does.

    Raises:
        SemclError: for an unknown command, an option without its value, and words left over.
    """
    if not given or is_option(given[0]):
        return list(given)
    command, *words = given
    if command not in commands:
        near = difflib.get_close_matches(command, commands, 1)
        raise SemclError(
            f"there is no command {command}",
            found=command,
            expected=f"one of {', '.join(commands)}",
            remedy=f"did you mean {near[0]}?" if near else "run python -m scripts --help",
        )
    parameters = inspect.signature(commands[command]).parameters
    valued = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    end = words.index("--") if "--" in words else len(words)  # what follows is for fire itself
    if "--help" in words[:end]:
        return [command, "--", "--help"]
    made: list[str] = []
    loose: list[str] = []
    named: dict[str, list[str]] = {}
    rest = words[:end]
    while rest:
        word = rest.pop(0)
        name, sign, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if not is_option(word) or word == "-":
            loose.append(word)
        elif sign or (rest and not is_option(rest[0])):
            named[name] = [*(named.get(name, []) if name == repeated else []), value if sign else rest.pop(0)]
        elif name in valued:
            raise SemclError(
                f"--{name} has no value",
                found=f"{rest[0]} after it" if rest else "nothing after it",
                expected=f"--{name} VALUE, or --{name}=VALUE for a value that begins with -",
                remedy="add it",
            )
        else:
            made.append(word)
    left = loose[len([name for name in valued if name not in named]) :]
    if left:
        raise SemclError(
            f"{command} has no use for {left[0]}",
            found=" ".join(left),
            expected="--option VALUE",
            remedy="quote a value that holds blanks, and name the option of each value",
        )
    made += [
        f"--{name}={SEPARATOR.join(values)!r}" for name, values in named.items()
    ]  # fire takes quoted text as it is
    return [command, *map(repr, loose), *made, *words[end:]]


def is_option(word: str) -> bool:
    """Whether fire reads a word as an option, or as a mark of its own, rather than as a value."""
    return word == "-" or word.startswith("--") or re.match(r"-[a-zA-Z]", word) is not None
