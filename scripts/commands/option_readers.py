"""Readers of single options: text, paths, numbers, names, one of several words."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import SemclError, one_of
from .arguments import SEPARATOR


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


@dataclass(frozen=True)
class Choice(Text):
    """One of several words, in capitals or not."""

    words: tuple[str, ...]

    def read(self, name: str, value: Any) -> str:
        """Return the word as it is listed."""
        given = super().read(name, value)
        known = {word.lower(): word for word in self.words}
        one_of(name, known.get(given.lower(), given), self.words)
        return known[given.lower()]


class Switch:
    """True or False; the bare option is True."""

    def read(self, name: str, value: Any) -> bool:
        """Return it."""
        one_of(name, str(value).lower(), ("true", "false"))
        return str(value).lower() == "true"


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
            return given[0].lower()
        if len(numbers) != len(given) or len(given) != 2 or not -math.inf < numbers[0] < numbers[1] < math.inf:
            raise _refusal(f"--{name} is not an intensity window", value, "low,high or percentile", name)
        return numbers


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


def _refusal(problem: str, value: object, expected: str, name: str) -> SemclError:
    return SemclError(problem, found=repr(value)[:200], expected=expected, remedy=f"set --{name}")
