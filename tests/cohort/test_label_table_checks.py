"""Checks of labels.yaml, part by part."""

import pytest

from scripts.cohort.label_table_checks import IGNORED_INDEX, Checks
from scripts.errors import SemclError

CHECKS = Checks("table.yaml")


def test_an_organ_is_an_index_or_a_mapping():
    assert CHECKS.organ("liver", 6) == {"name": "liver", "index": 6, "partner": None, "tolerance": None}
    given = {"index": 2, "partner": "left_kidney", "tolerance": 3}
    assert CHECKS.organ("right_kidney", given) == {"name": "right_kidney", **given, "tolerance": 3.0}


@pytest.mark.parametrize("index", [0, -1, IGNORED_INDEX, 1.0, True, "1", None])
def test_an_index_is_a_whole_number_in_range(index):
    with pytest.raises(SemclError, match=rf"table.yaml is not a label table[^$]*1 to {IGNORED_INDEX - 1}"):
        CHECKS.organ("liver", index)


@pytest.mark.parametrize("tolerance", [0, -1, True, "2", float("nan"), float("inf")])
def test_a_tolerance_is_a_length(tolerance):
    with pytest.raises(SemclError, match="mm, above 0"):
        CHECKS.organ("liver", {"index": 1, "tolerance": tolerance})


@pytest.mark.parametrize("partner", [{"a": "b", "b": None}, {"a": "a"}, {"a": "c"}])
def test_partners_name_each_other(partner):
    CHECKS.partners({"a": "b", "b": "a", "c": None})
    with pytest.raises(SemclError, match="names it as partner too"):
        CHECKS.partners(partner)


@pytest.mark.parametrize("phases", [[], "portal", [True], [1.5], None])
def test_phases_are_a_list_of_names(phases):
    assert CHECKS.phases(["portal", 2]) == ("portal", "2")
    with pytest.raises(SemclError, match="a list of different names"):
        CHECKS.phases(phases)


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(SemclError, match=r"did you mean tolerance\? Edit table.yaml"):
        CHECKS.organ("liver", {"index": 1, "tolerence": 2})
