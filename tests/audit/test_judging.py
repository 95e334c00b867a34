"""From objects to findings: label maps, maps of a network, missing organs, phases."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.audit.examples import joined
from scripts.audit.judging import NO_VERDICT, in_one_sentence, judge
from scripts.audit.kinds import LOW_DICE, ORGAN_MISSING, WRONG_PHASE

from .made import TABLE


@pytest.fixture(scope="module")
def swapped(gathered):
    """What is gathered of a cohort in which the kidneys of p3 are exchanged."""
    wrong = (gathered.cases == "p3") & (gathered.kinds == "wrong_organ")
    right = gathered[~((gathered.cases == "p3") & gathered.clean)]
    return joined([right, replace(gathered[wrong], kinds=np.full(wrong.sum(), ""))])


def as_maps(table, cases):
    """Objects as those of audited maps."""
    own = table[np.isin(table.cases, cases)]
    return replace(own, sources=np.full(len(own), "map"))


def test_exchanged_kidneys_are_at_the_top(swapped, toys):
    found = judge(swapped, toys, [], TABLE, 0.6, 0)
    top = [one for one in found.findings if one.name != WRONG_PHASE][:2]
    assert {(one.case, one.organ) for one in top} <= {("p3", organ) for organ in TABLE.names}
    assert top[0].suspicion > 0.3
    assert len(found.judged) == 24
    assert found.expected is None
    assert found.quality() == {}
    assert "of 24 objects and 8 scans" in in_one_sentence(found, 0.5)


def test_maps_get_an_expected_dice_and_label_maps_no_verdict(gathered, toys):
    right = as_maps(gathered[gathered.clean], ["p0"])
    wrong = as_maps(gathered[(gathered.kinds == "other_scan")], ["p1"])
    maps = joined([right, replace(wrong, kinds=np.full(len(wrong), ""), dice=np.full(len(wrong), np.nan))])
    found = judge(joined([gathered, maps]), toys, ["p0", "p1"], TABLE, 0.6, 0)
    assert {one.name for one in found.findings} <= {LOW_DICE, WRONG_PHASE}
    quality = found.quality()
    assert set(quality) == {"p0", "p1"}
    assert quality["p0"]["dice"] > quality["p1"]["dice"]
    organ = quality["p0"]["organs"]["liver"]
    assert organ["low"] <= organ["dice"] <= organ["high"]
    assert found.verdicts is None


def test_a_missing_organ_is_a_finding(gathered, toys):
    maps = as_maps(gathered[gathered.clean], ["p0"])
    found = judge(joined([gathered, maps[maps.organs != "left_kidney"]]), toys, ["p0"], TABLE, 0.6, 0)
    (missing,) = [one for one in found.findings if one.name == ORGAN_MISSING]
    assert (missing.case, missing.organ) == ("p0", "left_kidney")
    assert "8 of 8 label maps have it" in missing.found


def test_an_organ_of_four_label_maps_of_five_is_missed_in_a_map(gathered, toys):
    for lacking, count in ((("p0",), 1), (("p0", "p1"), 0)):  # of five
        some = gathered[np.isin(gathered.cases, ["p0", "p1", "p2", "p3", "p4"])]
        some = some[~(np.isin(some.cases, lacking) & (some.organs == "left_kidney"))]
        maps = as_maps(gathered[gathered.clean], ["p0"])
        found = judge(joined([some, maps[maps.organs != "left_kidney"]]), toys, ["p0"], TABLE, 0.6, 0)
        assert len([one for one in found.findings if one.name == ORGAN_MISSING]) == count


def test_an_organ_is_missed_where_most_label_maps_that_annotate_it_have_it(gathered, toys):
    elsewhere = {"p5", "p6", "p7"}  # the organ is not annotated: it is not known to be absent
    cases = [replace(case, annotated=("liver", "right_kidney") if case.id in elsewhere else None) for case in toys]
    some = gathered[~(np.isin(gathered.cases, list(elsewhere)) & (gathered.organs == "left_kidney"))]
    maps = as_maps(gathered[gathered.clean], ["p0"])
    found = judge(joined([some, maps[maps.organs != "left_kidney"]]), cases, ["p0"], TABLE, 0.6, 0)
    (missing,) = [one for one in found.findings if one.name == ORGAN_MISSING]
    assert "5 of 5 label maps have it" in missing.found


def test_a_phase_of_too_few_patients_is_not_called_wrong(gathered, toys):
    phases = np.where(gathered.cases == "p2", "delayed", gathered.phases)
    found = judge(replace(gathered, phases=phases), toys, [], TABLE, 0.6, 0)
    judged = {one.case for one in found.findings if one.name == WRONG_PHASE}
    assert judged
    assert "p2" not in judged


def test_an_empty_map_lacks_every_organ_and_has_no_expected_dice(gathered, toys):
    right = as_maps(gathered[gathered.clean], ["p0"])
    found = judge(joined([gathered, right]), toys, ["p0", "p1"], TABLE, 0.6, 0)
    missing = {(one.case, one.organ) for one in found.findings if one.name == ORGAN_MISSING}
    assert missing == {("p1", organ) for organ in TABLE.names}
    assert found.quality()["p1"] == {"dice": None, "organs": {}}
    assert "of 3 objects and 2 scans" in in_one_sentence(found, 0.5)


def test_where_every_map_is_empty_the_label_maps_are_not_judged_instead(gathered, toys):
    found = judge(gathered, toys, ["p1"], TABLE, 0.6, 0)
    assert found.verdicts is None
    assert [one.case for one in found.findings if one.name != WRONG_PHASE] == ["p1"] * 3
    assert found.quality() == {"p1": {"dice": None, "organs": {}}}


def test_attention_maps_of_unlabelled_scans_are_judged_beside_label_maps(gathered, toys):
    unlabelled = [replace(case, label=None) if case.id == "p0" else case for case in toys]
    labels = gathered[gathered.cases != "p0"]
    found = judge(joined([labels, as_maps(gathered[gathered.clean], ["p0"])]), unlabelled, ["p0"], TABLE, 0.6, 0)
    assert found.verdicts is not None
    assert set(found.quality()) == {"p0"}
    assert len(found.judged) == 8 * 3


def test_an_organ_of_too_few_patients_is_left_without_a_verdict(gathered, toys):
    few = gathered[(gathered.organs != "liver") | np.isin(gathered.cases, ["p0", "p1"])]
    found = judge(few, toys, [], TABLE, 0.6, 0)
    livers = [one for one in found.findings if one.organ == "liver"]
    assert [(one.name, one.found) for one in livers] == [("", NO_VERDICT)] * 2
    assert livers[0] in found.findings[-2:]
