"""The words of a shell, for fire: what it would take for something else is told apart or refused."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence

from .errors import SemclError

AGAIN = "\0"  # between the values of an option that was given several times: no argument can hold it


def arguments(given: Sequence[str], commands: Mapping[str, Callable[..., None]], repeated: str) -> list[str]:
    """The arguments of a shell for fire, without what fire would take for something else.

    Args:
        given: a command and its options.
        commands: by name.
        repeated: the option whose every value is kept, where fire keeps the last.

    Raises:
        SemclError: for a command that is none, an option of text or number without a value, and words too many.
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
    valued = [name for name, one in parameters.items() if one.kind is not one.VAR_KEYWORD]
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
                expected=f"--{name} VALUE, or --{name}=VALUE for one that begins with -",
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
            remedy="quote a value that holds blanks, and give each its option",
        )
    made += [f"--{name}={AGAIN.join(values)!r}" for name, values in named.items()]  # fire reads a quoted text as it is
    return [command, *map(repr, loose), *made, *words[end:]]


def is_option(word: str) -> bool:
    """Whether fire takes a word for an option, or for a mark of its own, and not for a value."""
    return word == "-" or word.startswith("--") or re.match(r"-[a-zA-Z]", word) is not None
