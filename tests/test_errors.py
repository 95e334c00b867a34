"""Errors: parts of a message, several as one, and the root cause."""

import pickle

import pytest

from scripts.errors import SemclError, raise_all, root_cause


def made(problem: str = "a scan is upside down", case: str | None = "ann1") -> SemclError:
    return SemclError(problem, case=case, found="feet first", expected="head first", remedy="turn it")


def caught(raising: str) -> BaseException:
    """The exception a few lines of code end with."""
    with pytest.raises(Exception) as info:  # noqa: PT011
        exec(raising, {"made": made})
    return info.value


def test_a_message_has_case_found_expected_and_remedy() -> None:
    assert str(made()).splitlines() == [
        "case ann1: a scan is upside down",
        "  found:    feet first",
        "  expected: head first",
        "  do this:  turn it",
    ]


def test_a_message_without_a_case_begins_with_the_problem() -> None:
    assert str(made(case=None)).startswith("a scan is upside down\n")


def test_an_error_keeps_its_parts() -> None:
    error = made()
    parts = (error.problem, error.case, error.found, error.expected, error.remedy)
    assert parts == ("a scan is upside down", "ann1", "feet first", "head first", "turn it")
    assert isinstance(error, ValueError)


def test_an_error_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(made()))
    assert (str(again), vars(again)) == (str(made()), vars(made()))


def test_no_error_raises_nothing() -> None:
    assert raise_all([]) is None


def test_one_error_is_raised_itself() -> None:
    error = made()
    with pytest.raises(SemclError, match=r"^case ann1: a scan is upside down") as info:
        raise_all([error])
    assert info.value is error


def test_many_errors_are_raised_as_one_that_lists_them() -> None:
    errors = [made(case=f"ann{number}") for number in range(3)]
    with pytest.raises(SemclError, match=r"(?s)^3 problems in the cohort:\ncase ann0.*case ann1.*case ann2") as info:
        raise_all(errors)
    for error in errors:
        assert str(error) in str(info.value)
    assert "run the same command again" in info.value.remedy


@pytest.mark.parametrize(
    "raising",
    [
        pytest.param("raise made()", id="itself"),
        pytest.param("raise RuntimeError('wrapped') from made()", id="cause"),
        pytest.param("try:\n raise made()\nexcept ValueError:\n raise RuntimeError('while handling')", id="context"),
        pytest.param(
            "try:\n raise KeyError('wrapped') from made()\nexcept KeyError as e:\n raise RuntimeError('again') from e",
            id="cause of a cause",
        ),
        pytest.param(
            "try:\n raise RuntimeError('wrapped') from made()\nexcept RuntimeError:\n raise OSError('again')",
            id="cause of a context",
        ),
    ],
)
def test_the_root_cause_is_found(raising: str) -> None:
    cause = root_cause(caught(raising))
    assert isinstance(cause, SemclError)
    assert str(cause) == str(made())


@pytest.mark.parametrize("raising", ["1 / 0", "raise RuntimeError('a') from ValueError('b')"])
def test_other_exceptions_have_no_root_cause(raising: str) -> None:
    assert root_cause(caught(raising)) is None
