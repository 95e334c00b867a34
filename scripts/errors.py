"""Errors a user can act on: which case, what was found, what was expected, what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType


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
        super().__init__(f"{where}{problem}\n  found:    {found}\n  expected: {expected}\n  do this:  {remedy}")


def raise_all(errors: Sequence[SemclError]) -> None:
    """Raise nothing, the one error, or one error that lists all of them.

    Raises:
        SemclError: when ``errors`` is not empty.
    """
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listed = "\n".join(str(error) for error in errors)
        raise SemclError(
            f"{len(errors)} problems in the cohort:\n{listed}",
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


def plain_errors() -> None:
    """Let uncaught ``SemclError`` end the process as one message (exit code 1), anything else as a traceback.

    MONAI wraps what a component raises in errors of its own; called first in a config's ``run`` list this shows the
    user the cause alone.
    """

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        cause = root_cause(error)
        if cause is None:
            sys.__excepthook__(kind, error, trace)
        else:
            print(f"\nerror: {cause}", file=sys.stderr)

    sys.excepthook = show
