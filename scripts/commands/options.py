"""Options of the command line: converted to what a command's signature declares, and checked, before any work.

fire would guess a value's type from how it looks: 2024_01 would be the number 202401, "a,b" a tuple, no value True.
Here a parameter's annotation decides: a plain ``str`` stays text, an ``Annotated`` one names its reader.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, get_args, get_type_hints

from ..errors import SemclError
from .arguments import SEPARATOR

UNKNOWN_OPTIONS = "unknown"  # a command's parameter that collects options it does not have


class Reader(Protocol):
    """Reads the value of an option."""

    def read(self, name: str, value: Any) -> Any:
        """Return a shell's text, or a Python value, as the command needs it; refuse it with a ``SemclError``."""


class Text:
    """A path, an id, a name: text as it was written."""

    def read(self, name: str, value: Any) -> str:
        """Return the text."""
        if not isinstance(value, str | os.PathLike):
            raise _refusal(f"--{name} is not text", value, "text", name)
        text = os.fspath(value)
        if not text or "\0" in text:
            raise _refusal(f"--{name} is empty" if not text else f"--{name} is not text", text, "text", name)
        return str(text)


class NewFile(Text):
    """A path of a file to be written: not a folder, and not inside a file."""

    def read(self, name: str, value: Any) -> str:
        """Return the path."""
        path = Path(super().read(name, value))
        above = next((folder for folder in path.absolute().parents if folder.exists()), path)
        if path.is_dir() or not above.is_dir():
            found = f"{path} is a folder" if path.is_dir() else f"{above} is not a folder"
            raise SemclError(
                f"--{name} is not a writable file", found=found, expected="a file's path", remedy=f"set --{name}"
            )
        return str(path)


@dataclass(frozen=True)
class Number:
    """A finite number within bounds.

    Args:
        expected: the bounds in words.
        fits: whether a number is within them.
        whole: fractions are refused.
    """

    expected: str
    fits: Callable[[float], bool]
    whole: bool = False

    def read(self, name: str, value: Any) -> float:
        """Return the number."""
        number = _number(value)
        if number is None or (self.whole and number % 1):  # infinity too
            kind = "whole number" if number is not None else "number"
            raise _refusal(f"--{name} is not a {kind}", value, self.expected, name)
        if not math.isfinite(number) or not self.fits(number):
            raise _refusal(f"--{name} cannot be {value}", value, self.expected, name)
        return int(number) if self.whole else number


class Names:
    """Several names, separated by commas, in brackets or not."""

    def read(self, name: str, value: Any) -> list[str]:
        """Return the names."""
        if isinstance(value, str):
            bare = re.fullmatch(r"\s*(?:\[(.*)\]|\((.*)\))\s*", value)
            value = [part.strip().strip("'\"") for part in ((bare[1] or bare[2] or "") if bare else value).split(",")]
        parts = value if isinstance(value, list | tuple) else [value]
        return [str(part).strip() for part in parts if str(part).strip()]


class Numbers(Names):
    """Several numbers above 0, separated by commas."""

    def read(self, name: str, value: Any) -> list[Any]:
        """Return the numbers."""
        numbers = [_number(part) for part in super().read(name, value)]
        found = [number for number in numbers if number is not None and math.isfinite(number) and number > 0]
        if len(found) < len(numbers) or not found:
            raise _refusal(f"--{name} is not a list of numbers", value, "numbers above 0, separated by commas", name)
        return found


class Paths(Text):
    """A path, or several by giving the option again."""

    def read(self, name: str, value: Any) -> Any:
        """Return all of them."""
        value = value.split(SEPARATOR) if isinstance(value, str) else value
        given = value if isinstance(value, list | tuple) else [value]
        return [super(Paths, self).read(name, path) for path in given]


class WindowOption:
    """The lowest and highest intensity of pictures, or a word."""

    def read(self, name: str, value: Any) -> Any:
        """Return two numbers, or the word."""
        given = Names().read(name, value)
        numbers = [number for part in given if (number := _number(part)) is not None]
        if len(given) == 1 and not numbers:
            return given[0]
        if len(numbers) != len(given) or len(given) != 2 or not -math.inf < numbers[0] < numbers[1] < math.inf:
            raise _refusal(f"--{name} is not an intensity window", value, "low,high or percentile", name)
        return numbers


NewPath = Annotated[str, NewFile()]
Count = Annotated[int, Number("1, 2, ...", lambda number: number >= 1, whole=True)]
CountOrNone = Annotated[int, Number("0, 1, 2, ...", lambda number: number >= 0, whole=True)]
Seed = Annotated[int, Number("a whole number from 0 to 4294967295", lambda seed: 0 <= seed < 1 << 32, whole=True)]
Folds = Annotated[int, Number("at least 2 folds", lambda folds: folds >= 2, whole=True)]
FoldsOrNone = Annotated[int, Number("0, or at least 2 folds", lambda folds: folds == 0 or folds >= 2, whole=True)]
Share = Annotated[float, Number("a share from 0 to below 1", lambda share: 0 <= share < 1)]
Millimetres = Annotated[float, Number("mm above 0", lambda length: length > 0)]
Seconds = Annotated[float, Number("seconds, 0 or more", lambda seconds: seconds >= 0)]
Multiples = Annotated[str | Sequence[float], Numbers()]
Listed = Annotated[str | Sequence[str], Names()]
Repeated = Annotated[str | Sequence[str], Paths()]
Limits = Annotated[str | Sequence[float], WindowOption()]


def checked(command: Callable[..., None]) -> Callable[..., None]:
    """Read and check a command's options as its signature declares them, given by a shell or from Python.

    A parameter that is a dataclass stands for one option per field, documented in the dataclass; a field that the
    command has a parameter of its own for takes its value from there.

    Raises:
        SemclError: from the command, before it does anything, for an option it does not have or a value it cannot use.
    """
    own = inspect.signature(command).parameters
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    signature = _with_fields(own, groups)
    for group in groups.values():
        hints = get_type_hints(group, include_extras=True) | hints

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> None:
        given = signature.bind(*args, **kwargs)
        _refuse_unknown(command.__name__, signature, given.arguments.pop(UNKNOWN_OPTIONS, {}))
        given.apply_defaults()
        values, more = given.arguments, {}
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                more = values.pop(name)
            elif parameter.default is None and values[name] in (None, ""):
                values[name] = None
            else:
                values[name] = _reader(hints[name]).read(name, values[name])
        for name, group in groups.items():
            values[name] = group(**{field.name: values[field.name] for field in fields(group)})
        command(**{name: values[name] for name in own if name in values}, **more)

    wrapped.__doc__ = _documented(command, groups)
    setattr(wrapped, "__signature__", signature)  # noqa: B010  # mypy knows no such attribute
    return wrapped


def _with_fields(own: Mapping[str, inspect.Parameter], groups: Mapping[str, Any]) -> inspect.Signature:
    """Return a command's signature with the fields of its groups of options in place of the groups."""
    options: list[inspect.Parameter] = []
    for name, parameter in own.items():
        if name in groups:
            options += [field for field in inspect.signature(groups[name]).parameters.values() if field.name not in own]
        else:
            options.append(parameter)
    return inspect.Signature(sorted(options, key=lambda option: (option.kind, option.default is not option.empty)))


def _documented(command: Callable[..., None], groups: Mapping[str, Any]) -> str:
    """Return a command's docstring with the options of its groups, but for its own, in place of the groups."""
    text, own = inspect.getdoc(command) or "", inspect.signature(command).parameters
    for name, group in groups.items():
        lines = (inspect.getdoc(group) or "").partition("Args:\n")[2].splitlines()
        options = "\n".join(line for line in lines if line.strip().partition(":")[0] not in own)
        text = "\n".join(options if line.startswith(f"    {name}: ") else line for line in text.splitlines())
    return text


def _reader(hint: Any) -> Reader:
    """Return the reader that an annotation names, also within ``Annotated[...] | None``."""
    for part in (hint, *get_args(hint)):
        for mark in getattr(part, "__metadata__", ()):
            reader: Reader = mark
            return reader
    return Text()


def _number(value: Any) -> float | None:
    """Return a value as a number, whole ones exact; None for what is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    for kind in (int, float):
        try:
            return value if isinstance(value, int | float) else kind(value)
        except ValueError:
            continue
    return None


def _refuse_unknown(command: str, signature: inspect.Signature, unknown: Mapping[str, object]) -> None:
    known = [name for name in signature.parameters if name != UNKNOWN_OPTIONS]
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        raise SemclError(
            f"{command} has no option --{name}",
            found=f"--{name}",
            expected=", ".join(f"--{option}" for option in known),
            remedy=f"did you mean --{near[0]}?" if near else "leave it out",
        )


def _refusal(problem: str, value: object, expected: str, name: str) -> SemclError:
    return SemclError(problem, found=repr(value)[:200], expected=expected, remedy=f"set --{name}")
