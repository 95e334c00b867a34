"""Which cases are segmented by which network, have simulated maps, or none."""

from pathlib import Path

import pytest

from scripts.coarse.map_plan import MapPlan, best_weights, weights_path
from scripts.cohort.case import Case
from scripts.errors import SemclError


def case(name, fold, labelled):
    return Case(name, name, "portal", Path(f"{name}.nii.gz"), Path(f"{name}_label.nii.gz") if labelled else None, fold)


CASES = [  # learnt from in two folds; without a label map, in a fold of its own too; tested
    *(case("a", 1, True), case("b", 0, True), case("c", 1, True)),
    *(case("d", 0, False), case("e", 3, False), case("f", None, True), case("g", None, False)),
]
WAYS = {  # names of the cases: segmented by each round's network, simulated, without a map
    "cross-fitted": ({0: "b", 1: "ac", None: "defg"}, "", ""),
    "simulated": ({None: "defg"}, "abc", ""),
    "none": ({None: "defg"}, "", "abc"),
}


@pytest.mark.parametrize(("way", "expected"), WAYS.items(), ids=WAYS)
def test_every_case_s_map_is_made_in_one_way(way, expected):
    plan = MapPlan(CASES, way)
    predicted = {fold: "".join(one.id for one in cases) for fold, cases in plan.predicted.items()}
    assert (predicted, *("".join(one.id for one in cases) for cases in (plan.simulated, plan.without))) == expected
    assert plan.rounds == list(expected[0])
    assert [one.id for one in plan.made] == [one for one in "abcdefg" if one not in expected[2]]


def test_the_network_of_all_cases_is_trained_even_if_it_segments_none():
    plan = MapPlan(CASES[:3], "cross-fitted")
    assert plan.rounds == [0, 1, None]
    assert list(plan.predicted) == [0, 1]


def test_another_way_is_refused():
    with pytest.raises(SemclError, match=r"(?s)labelled_maps.*crossed.*did you mean cross-fitted"):
        MapPlan(CASES, "crossed")


def test_the_files_of_a_round(tmp_path):
    assert [weights_path(tmp_path, fold).name for fold in (None, 2)] == ["coarse.pt", "coarse_fold2.pt"]
    assert [Path(best_weights(str(tmp_path), fold)).name for fold in (None, 2)] == [
        "coarse_best.pt",
        "coarse_fold2_best.pt",
    ]
