"""Objects beside those of other patients: robust distances, resemblance, and never the patient's own."""

import numpy as np
import pytest

from scripts.audit.comparison import EMBEDDED, FARTHEST, compare_with, resemblance
from scripts.audit.kinds import WRONG_ORGAN
from scripts.audit.measures import AGREEMENT, MEASURES


@pytest.fixture(scope="module")
def reference(gathered):
    return gathered[gathered.clean]


def test_features_have_names_and_groups(gathered, reference):
    found = compare_with(gathered, reference)
    assert found.values.shape == (len(gathered), len(found.names))
    assert found.group("plain").shape[1] == len(MEASURES) + 1 + 3
    assert found.group("agreement").shape[1] == len(AGREEMENT)
    assert found.group("embedding").shape[1] == 2 * len(EMBEDDED)
    assert found.enough.all()
    assert np.isnan(found.column("nothing")).all()


def test_a_distance_is_from_the_median_of_other_patients(reference):
    found = compare_with(reference, reference).column("plain:log_volume")
    column = MEASURES.index("log_volume")
    row = 5
    others = (reference.patients != reference.patients[row]) & (reference.organs == reference.organs[row])
    values = reference.measures[others, column]
    assert np.sign(found[row]) == np.sign(reference.measures[row, column] - np.median(values))
    assert abs(found[row]) < 4


def test_a_patient_is_never_compared_with_itself(reference):
    changed = reference.measures.copy()
    changed[reference.patients == "p3"] *= 50  # whatever p3 is like, its own distances stay the same
    from dataclasses import replace

    own = reference.patients == "p3"
    before = compare_with(reference[own], reference)
    after = compare_with(reference[own], replace(reference, measures=changed))
    column = list(before.names).index("plain:log_volume")
    assert np.sign(before.values[:, column]) == pytest.approx(np.sign(after.values[:, column]))
    assert (reference.patients[before.nearest[before.nearest >= 0]] != "p3").all()


def test_an_exchanged_organ_is_far_from_its_name(gathered, reference):
    swapped = gathered[(gathered.kinds == WRONG_ORGAN) & (gathered.organs == "right_kidney")]
    found = compare_with(swapped, reference)
    assert (found.column("plain:y") > 4).all()  # where the left one is
    assert (np.abs(found.values[:, : len(MEASURES) + 1]) <= FARTHEST).all()


def test_organs_of_too_few_patients_have_no_verdict(gathered, reference):
    few = reference[(reference.organs != "liver") | np.isin(reference.patients, ["p0", "p1", "p2"])]
    found = compare_with(gathered, few)
    own = (gathered.organs == "liver") & np.isin(gathered.patients, ["p0", "p1", "p2"])
    assert not found.enough[own].any()
    assert found.enough[gathered.organs == "left_kidney"].all()
    assert np.isnan(found.column("plain:x")[own]).all()


def test_resemblance_tells_organs_of_other_intensity_apart(reference):
    found = resemblance(reference, reference)
    values = dict(zip(EMBEDDED, found.values.T, strict=True))
    liver = (reference.organs == "liver") & (reference.phases == "portal")
    assert (values["own"][liver] > values["other"][liver]).all()
    assert values["same"][liver].min() > 0.5
    assert (found.other != reference.organs).all()
    assert (reference.organs[found.nearest] == reference.organs[:, None]).all()
