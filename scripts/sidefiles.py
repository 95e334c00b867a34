"""Small JSON files that stages leave beside their results: read in one way, also when damaged meanwhile."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeVar

from . import ranks
from .errors import SemclError
from .printable import printable

Content = TypeVar("Content")
# what a damaged file may raise
DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error)


def read_note(path: Path, expected: str, remedy: str) -> dict[str, Any]:
    """Return the JSON object in a file that a decision depends on.

    Args:
        path: the file.
        expected: what it should hold, in an error.
        remedy: what to do, in an error.

    Raises:
        SemclError: naming the file and what is wrong with it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__} {error}", expected, remedy) from error
    if not isinstance(content, dict):
        raise damaged(path, f"{type(content).__name__} instead of an object", expected, remedy)
    return content


def damaged(path: Path, why: str, expected: str, remedy: str) -> SemclError:
    """Return the error of a file that is not what a stage wrote."""
    return SemclError(f"{path.name} cannot be used", found=f"{path}: {why}", expected=expected, remedy=remedy)


def for_show(path: Path, read: Callable[[Path], Content]) -> Content | None:
    """Return the content of a file that no decision depends on; None, with a warning, if it cannot be used."""
    try:
        return read(path)
    except DAMAGE as error:
        if ranks.number() == 0:
            why = f"{type(error).__name__} {error}".splitlines()[0]
            print(printable(f"warning: {path} cannot be used and is left out: {why}"), file=sys.stderr)
        return None


def plain_note(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, for ``for_show``; raise one of ``DAMAGE`` without one."""
    return read_note(path, "a JSON object", "remove it")


def shown_note(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file that no decision depends on; an empty one where it is missing or damaged."""
    return (for_show(path, plain_note) if path.is_file() else None) or {}


def has_keys(path: Path, keys: AbstractSet[str]) -> bool:
    """Whether a file is a JSON object with these keys; False where it is damaged or missing."""
    try:
        return keys <= set(plain_note(path))
    except SemclError:
        return False
