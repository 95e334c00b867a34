"""Names that can be files and table cells."""

import pytest

from scripts.names import ID_BYTES, bad_cell, bad_id, same_names, shown, twins, wrong_cell, wrong_name


@pytest.mark.parametrize("name", ["a", "patient 01_portal.2", "Müller-Ö", "x" * ID_BYTES])
def test_usual_names_are_accepted(name):
    assert wrong_name(name) is None
    assert bad_id(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("a/b", "a path"),
        ("..", "dot"),
        ("a ", "space"),
        ("NUL.nii", "Windows"),
        ("x" * (ID_BYTES + 1), f"{ID_BYTES + 1} bytes"),
        ("=1", "spreadsheet"),
        ("a\x1b[2J", "cannot be printed"),
    ],
)
def test_invalid_names_are_refused_with_the_reason(name, why):
    assert why in str(wrong_name(name))
    assert why in str(bad_id(name))


def test_a_cell_may_be_a_path_but_not_a_formula():
    assert wrong_cell("a/b") is None
    assert bad_cell("a patient", "+49", "case1").case == "case1"


def test_ids_that_differ_only_in_case_or_accents_are_pairs():
    ids = ["a", "A", "é", "e\u0301", "b"]
    assert same_names(ids) == [("a", "A"), ("é", "e\u0301")]
    assert [error.case for error in twins(ids)] == ["A", "e\u0301"]


def test_a_long_name_is_shortened_in_errors():
    assert shown("a\x1b") == repr("a\\x1b")
    assert len(shown("x" * 500)) < 100
