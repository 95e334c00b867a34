"""Readers of single options; tests/commands/test_options.py has those of text, numbers and names."""

import pytest

from scripts.commands.option_readers import Choice, WindowOption
from scripts.errors import SemclError


@pytest.mark.parametrize("given", ["CT", "ct", "Ct"])
def test_a_choice_is_read_in_capitals_or_not(given):
    assert Choice(("CT", "MR")).read("modality", given) == "CT"


def test_another_choice_is_refused_with_the_options():
    with pytest.raises(
        SemclError, match=r"modality has no such value\n  found: +modality PET\n  expected: one of CT, MR"
    ):
        Choice(("CT", "MR")).read("modality", "PET")


def test_a_window_is_a_word_in_any_case_or_two_numbers():
    assert WindowOption().read("window", "Percentile") == "percentile"
    assert WindowOption().read("window", "-160,240") == [-160, 240]
