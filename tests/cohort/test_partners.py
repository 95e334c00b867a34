"""Partners by name: which names state a side, and when that is ambiguous."""

import pytest

from scripts.cohort.label_table import LabelTable
from scripts.cohort.partners import partners_by_name


@pytest.mark.parametrize(
    ("right", "left"),
    [
        ("right_kidney", "left_kidney"),
        ("kidney_right", "kidney_left"),
        ("right kidney", "left kidney"),
        ("right_kidney", "kidney_left"),
        ("Right Kidney", "LEFT_KIDNEY"),
        ("RightKidney", "leftKidney"),
        ("r_kidney", "l_kidney"),
        ("kidney-r", "kidney.l"),
        ("R kidney", "kidney L"),
        ("r_kidney", "left_kidney"),
        ("lung_upper_lobe_right", "lung_upper_lobe_left"),
        ("right", "left"),
    ],
)
def test_names_with_a_side_make_partners(right, left):
    assert partners_by_name(["aorta", right, "liver", left]) == {right: left, left: right}
    table = LabelTable.parse({"organs": {"aorta": 1, right: 2, left: 3}})
    assert [organ.partner for organ in table.organs] == [None, left, right]
    assert table.by_name == ((right, left),)
    assert table.flip_axes == []


@pytest.mark.parametrize(
    "names",
    [
        ["right_kidney"],
        ["right_kidney", "left_adrenal"],
        ["right_kidney", "left_kidney", "kidney_left"],
        ["vertebra_l1", "vertebra_r1x"],
        ["cleft", "bright"],
        ["right_left_shunt", "left_right_shunt"],
        ["liver", "aorta"],
    ],
    ids=" ".join,
)
def test_ambiguous_names_make_no_partners(names):
    assert partners_by_name(names) == {}


def test_stated_partners_are_kept_without_a_finding():
    organs = {
        "right_kidney": {"index": 1, "partner": "spare_kidney"},
        "spare_kidney": {"index": 2, "partner": "right_kidney"},
        "left_kidney": 3,
    }
    table = LabelTable.parse({"organs": organs})
    assert [organ.partner for organ in table.organs] == ["spare_kidney", "right_kidney", None]
    assert table.by_name == ()


def test_inferred_partners_are_saved_as_if_stated(tmp_path):
    table = LabelTable.parse({"organs": {"right_kidney": 2, "left_kidney": 3}})
    table.save(tmp_path)
    stated = LabelTable.load(tmp_path)
    assert stated == table
    assert stated.by_name == ()
    assert stated.digest() == table.digest()
