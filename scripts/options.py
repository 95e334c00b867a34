"""Options of the command line: text is made what a command's signature says, and checked, once, before any work.

fire would guess a value's type from how it looks: 2024_01 would be the number 202401, "a,b" a tuple, no value True.
Here a parameter's annotation decides: a plain ``str`` stays text, an ``Annotated`` one is read by what stands there.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ParamSpec, Protocol, get_args, get_type_hints

from .arguments import AGAIN
from .errors import SemclError

P = ParamSpec("P")
UNKNOWN = "unknown"  # parameter of a command that takes what it has no option for


class Reader(Protocol):
    """Reads the value of an option."""

    def read(self, name: str, value: Any) -> Any:
        """Text of a shell, or a value of Python, as the command wants it; a ``SemclError`` when it cannot be that."""


class Text:
    """A path, an id, a name: text as it was written."""

    def read(self, name: str, value: Any) -> str:
        """The text."""
        if not isinstance(value, str | os.PathLike):
            raise _refused(f"--{name} is no text", value, "text", name)
        text = os.fspath(value)
        if not text or "\0" in text:
            raise _refused(f"--{name} is empty" if not text else f"--{name} is no text", text, "text", name)
        return str(text)


class NewFile(Text):
    """A path of a file to be written: no folder, and not inside of a file."""

    def read(self, name: str, value: Any) -> str:
        """The path."""
        path = Path(super().read(name, value))
        above = next((folder for folder in path.absolute().parents if folder.exists()), path)
        if path.is_dir() or not above.is_dir():
            found = f"{path} is a folder" if path.is_dir() else f"{above} is no folder"
            raise SemclError(
                f"--{name} is no file one can write", found=found, expected="a file's path", remedy=f"set --{name}"
            )
        return str(path)


@dataclass(frozen=True)
class Number:
    """A finite number within bounds.

    Args:
        expected: the bounds in words.
        fits: whether a number is within them.
        whole: whether it must be a whole one.
    """

    expected: str
    fits: Callable[[float], bool]
    whole: bool = False

    def read(self, name: str, value: Any) -> float:
        """The number."""
        number = _number(value)
        if number is None or (self.whole and number % 1):  # infinity too
            kind = "whole number" if number is not None else "number"
            raise _refused(f"--{name} is no {kind}", value, self.expected, name)
        if not math.isfinite(number) or not self.fits(number):
            raise _refused(f"--{name} cannot be {value}", value, self.expected, name)
        return int(number) if self.whole else number


class Names:
    """Several names, separated by commas, in brackets or not."""

    def read(self, name: str, value: Any) -> list[str]:
        """The names."""
        if isinstance(value, str):
            bare = re.fullmatch(r"\s*(?:\[(.*)\]|\((.*)\))\s*", value)
            value = [part.strip().strip("'\"") for part in ((bare[1] or bare[2] or "") if bare else value).split(",")]
        parts = value if isinstance(value, list | tuple) else [value]
        return [str(part).strip() for part in parts if str(part).strip()]


class Paths(Text):
    """A path, or several by giving the option again."""

    def read(self, name: str, value: Any) -> Any:
        """All of them."""
        given = value.split(AGAIN) if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return [super(Paths, self).read(name, one) for one in given]


class Window:
    """The lowest and highest intensity of pictures, or a word."""

    def read(self, name: str, value: Any) -> Any:
        """Two numbers, or the word."""
        given = Names().read(name, value)
        numbers = [number for one in given if (number := _number(one)) is not None]
        if len(given) == 1 and not numbers:
            return given[0]
        if len(numbers) != len(given) or len(given) != 2 or not -math.inf < numbers[0] < numbers[1] < math.inf:
            raise _refused(f"--{name} is no intensity window", value, "low,high or percentile", name)
        return numbers


NewPath = Annotated[str, NewFile()]
Count = Annotated[int, Number("1, 2, ...", lambda number: number >= 1, whole=True)]
CountOrNone = Annotated[int, Number("0, 1, 2, ...", lambda number: number >= 0, whole=True)]
Seed = Annotated[int, Number("a whole number from 0 to 4294967295", lambda seed: 0 <= seed < 1 << 32, whole=True)]
Folds = Annotated[int, Number("at least 2 folds", lambda folds: folds >= 2, whole=True)]
FoldsOrNone = Annotated[int, Number("0, or at least 2 folds", lambda folds: folds == 0 or folds >= 2, whole=True)]
Share = Annotated[float, Number("a share from 0 to below 1", lambda share: 0 <= share < 1)]
Millimetres = Annotated[float, Number("mm above 0", lambda length: length > 0)]
Listed = Annotated[str | Sequence[str], Names()]
Repeated = Annotated[str | Sequence[str], Paths()]
Limits = Annotated[str | Sequence[float], Window()]


def checked(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command have its options only as its signature says, whether a shell or Python gives them.

    Raises:
        SemclError: from the command, before it does anything, for an option it does not have or a value it cannot use.
    """
    signature = inspect.signature(command)

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        hints = get_type_hints(command, include_extras=True)
        given = signature.bind(*args, **kwargs)
        _refuse_unknown(command, given.arguments.pop(UNKNOWN, {}))
        given.apply_defaults()
        for name, parameter in signature.parameters.items():
            value = given.arguments[name]
            if parameter.kind is not parameter.VAR_KEYWORD and not (parameter.default is None and value in (None, "")):
                given.arguments[name] = _reader(hints[name]).read(name, value)
            elif value == "":
                given.arguments[name] = None
        command(*given.args, **given.kwargs)

    return wrapped


def _reader(hint: Any) -> Reader:
    """What an annotation says the value is read by: also within ``Annotated[...] | None``."""
    for part in (hint, *get_args(hint)):
        for mark in getattr(part, "__metadata__", ()):
            reader: Reader = mark
            return reader
    return Text()


def _number(value: Any) -> float | None:
    """The number that is meant, whole ones exact; None when none is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    for kind in (int, float):
        try:
            return value if isinstance(value, int | float) else kind(value)
        except ValueError:
            continue
    return None


def _refuse_unknown(command: Callable[..., None], unknown: Mapping[str, object]) -> None:
    known = [name for name in inspect.signature(command).parameters if name != UNKNOWN]
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        raise SemclError(
            f"{command.__name__} has no option --{name}",
            found=f"--{name}",
            expected=", ".join(f"--{option}" for option in known),
            remedy=f"did you mean --{near[0]}?" if near else "leave it out",
        )


def _refused(problem: str, value: object, expected: str, name: str) -> SemclError:
    return SemclError(problem, found=repr(value)[:200], expected=expected, remedy=f"set --{name}")
