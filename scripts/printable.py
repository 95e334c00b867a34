"""Text from outside made safe for a terminal, a log and a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet computes, even from a CSV


def printable(text: str) -> str:
    r"""Return the text with unprintable characters escaped, \x1b for an escape, so that no name can steer a terminal.

    Line breaks stay.
    """
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def plain_cell(text: str) -> str:
    """Return the text as a CSV cell that no spreadsheet computes: printable, quoted if it looks like a formula."""
    return f"'{printable(text)}" if text.startswith(FORMULA) else printable(text)


def in_words(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def counted(count: int, name: str) -> str:
    """Return a number and what it counts, in the plural but for one."""
    return f"{count} {name}{'s' * (count != 1)}"
