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

    def __init__(  # noqa: B042  (``__reduce__`` pickles it)
        self, problem: str, *, found: object, expected: object, remedy: str, case: str | None = None
    ) -> None:
        self.problem, self.case, self.found, self.expected, self.remedy = problem, case, found, expected, remedy
        where = f"case {case}: " if case else ""
        text = f"{where}{problem}\n  found:    {found}\n  expected: {expected}\n  do this:  {remedy}"
        super().__init__(printable(text))

    def __reduce__(self) -> tuple[Any, ...]:
        """Allow pickling, so that it crosses processes."""
        return _rebuilt, (self.problem, self.case, self.found, self.expected, self.remedy)


def _rebuilt(problem: str, case: str | None, found: object, expected: object, remedy: str) -> SemclError:
    return SemclError(problem, case=case, found=found, expected=expected, remedy=remedy)


def raise_all(errors: Sequence[SemclError], of: str = "the cohort") -> None:
    """Raise the error, or one that lists all of them as problems of something; nothing without errors.

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
            remedy="fix each as described, then run the same command again",
        )


def root_cause(error: BaseException) -> SemclError | None:
    """Return the ``SemclError`` among an exception and those it was raised from; None without one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SemclError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def one_of(name: str, value: object, options: Sequence[object]) -> None:
    """Check that a value is among the options.

    Raises:
        SemclError: naming the value and the options.
    """
    if value not in options:
        names = list(map(str, options))
        near = difflib.get_close_matches(str(value), names, 1)
        raise SemclError(
            f"{name} has no such value",
            found=f"{name} {value}",
            expected=f"one of {', '.join(names)}",
            remedy=f"did you mean {near[0]}?" if near else f"set {name}",
        )
