"""Text from outside made fit for a terminal, a log and a spreadsheet."""

from __future__ import annotations

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet computes, even from a CSV


def printable(text: str) -> str:
    r"""The text with what cannot be printed written out, \x1b for an escape, so that no name can steer a terminal.

    Line breaks stay.
    """
    return "".join(one if one.isprintable() or one == "\n" else _written_out(one) for one in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def plain_cell(text: str) -> str:
    """The text as a cell of a CSV that no spreadsheet computes: printable, and quoted where it looks like a formula."""
    return f"'{printable(text)}" if text.startswith(FORMULA) else printable(text)
