"""Organ names of other tools."""

import pytest

from scripts.cohort.label_table import LabelTable, Organ
from scripts.errors import SemclError
from scripts.intake.tool_names import meaning, read_numbers, same_organs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kidney_right", "right_kidney"),
        ("R kidney", "kidney_right"),
        ("bladder", "urinary_bladder"),
        ("gall bladder", "gallbladder"),
        ("oesophagus", "esophagus"),
        ("postcava", "inferior_vena_cava"),
        ("left_adrenal", "adrenal_gland_left"),
    ],
)
def test_names_of_the_same_organ(one, other):
    assert meaning(one) == meaning(other)


def test_left_is_not_right():
    assert meaning("kidney_left") != meaning("kidney_right")
    assert meaning("gallbladder") != meaning("bladder")


def test_totalsegmentators_numbers(table):
    numbers = read_numbers("totalsegmentator")
    assert (numbers[5], numbers[2]) == ("liver", "kidney_right")
    found = same_organs(numbers.values(), table)
    assert found == {"liver": "liver", "kidney_right": "right_kidney", "kidney_left": "left_kidney"}


@pytest.mark.parametrize(("names", "count"), [("totalsegmentator", 117), ("totalsegmentator_mr", 50)])
def test_the_names_of_a_tool_are_whole_and_mean_different_organs(names, count):
    numbers = read_numbers(names)
    assert list(numbers) == list(range(1, count + 1))
    assert len({meaning(name) for name in numbers.values()}) == count


def test_two_names_for_one_organ_are_refused():
    table = LabelTable((Organ("bladder", 1),), ("any",))
    with pytest.raises(SemclError, match="bladder and urinary_bladder for bladder"):
        same_organs(["bladder", "urinary_bladder"], table)


@pytest.mark.parametrize("text", ["liver: 5\n", "- 1\n", "{}\n", "0: background\n"])
def test_a_file_that_is_no_such_table_is_refused(text, tmp_path):
    (tmp_path / "names.yaml").write_text(text)
    with pytest.raises(
        SemclError, match=r"(?s)cannot be used.*with other content.*totalsegmentator, totalsegmentator_mr, or a YAML"
    ):
        read_numbers(str(tmp_path / "names.yaml"))
    with pytest.raises(SemclError, match="no file totalsegmentatr"):
        read_numbers("totalsegmentatr")
