"""Errors a user can act on: which case, what was found, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from .printable import printable


class SemclError(ValueError):
    """An error that names its case, what was found, what was expected and what to do.

    Args:
        problem: one line saying what is wrong.
        case: case id, where the problem belongs to one.
        found: what was there.
        expected: what should have been there.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, *, found: object, expected: object, remedy: str, case: str | None = None) -> None:
        self.problem, self.case, self.found, self.expected, self.remedy = problem, case, found, expected, remedy
        where = f"case {case}: " if case else ""
        told = f"{where}{problem}\n  found:    {found}\n  expected: {expected}\n  do this:  {remedy}"
        super().__init__(printable(told))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it cross from one process to another."""
        return _again, (self.problem, self.case, self.found, self.expected, self.remedy)


def _again(problem: str, case: str | None, found: object, expected: object, remedy: str) -> SemclError:
    return SemclError(problem, case=case, found=found, expected=expected, remedy=remedy)


def raise_all(errors: Sequence[SemclError], of: str = "the cohort") -> None:
    """Raise nothing, the one error, or one error that lists all of them as problems of something.

    Raises:
        SemclError: when ``errors`` is not empty.
    """
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listed = "\n".join(str(error) for error in errors)
        raise SemclError(
            f"{len(errors)} problems in {of}:\n{listed}",
            found=f"{len(errors)} problems",
            expected="none",
            remedy="mend each as it says, then run the same command again",
        )


def root_cause(error: BaseException) -> SemclError | None:
    """The ``SemclError`` among an exception and those it was raised from, if there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SemclError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def one_of(name: str, value: object, options: Sequence[str]) -> None:
    """Check that an option is one of those there are.

    Raises:
        SemclError: naming the option, its value and those it may have.
    """
    if value not in options:
        near = difflib.get_close_matches(str(value), options, 1)
        raise SemclError(
            f"{name} has no such value",
            found=f"{name} {value}",
            expected=f"one of {', '.join(options)}",
            remedy=f"did you mean {near[0]}?" if near else f"set {name}",
        )
