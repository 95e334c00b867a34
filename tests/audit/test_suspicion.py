"""Suspicion and expected Dice: learnt from other patients, calibrated, with what they rest on."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scripts.audit.comparison import compare_with
from scripts.audit.suspicion import PREVALENCE, expect_dice, patient_folds, suspect


@pytest.fixture(scope="module")
def compared(gathered):
    return compare_with(gathered, gathered[gathered.clean])


def test_patients_are_in_one_fold_each():
    names = np.array([f"p{number}" for number in range(12)])
    parts = list(patient_folds(names, names[:3]))
    assert len(parts) == 5
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert len(list(patient_folds(names[:2]))) == 2


def test_injected_errors_are_more_suspicious_than_what_was_found(gathered, compared):
    found = suspect(gathered, compared, gathered, compared)
    assert found.rests_on[0] == "plain"
    assert "agreement" not in " ".join(found.measured)  # there are no attention maps
    wrong = gathered.kinds != ""
    assert roc_auc_score(wrong, found.suspicion) > 0.85
    assert found.measured[" + ".join(found.rests_on)] > 0.85
    swapped = gathered.kinds == "wrong_organ"
    assert (found.kinds[swapped] == "wrong_organ").mean() > 0.6
    clean = found.suspicion[~wrong]
    assert clean.mean() < 3 * PREVALENCE
    assert ((found.suspicion >= 0) & (found.suspicion <= 1)).all()


def test_the_same_seed_gives_the_same_and_a_group_can_be_required(gathered, compared):
    chosen = gathered.kinds != "island"
    given = gathered[chosen], compared[chosen]
    one, other = (suspect(*given, *given, groups=("embedding",), seed=1) for _ in range(2))
    assert np.array_equal(one.suspicion, other.suspicion)
    assert one.rests_on == ("embedding",)


def test_without_enough_examples_there_is_no_verdict(gathered, compared):
    lacking = replace(compared, enough=compared.enough & (gathered.organs != "liver"))
    found = suspect(gathered, lacking, gathered, lacking, groups=("plain",))
    assert np.isnan(found.suspicion[gathered.organs == "liver"]).all()
    assert np.isfinite(found.suspicion[gathered.organs != "liver"]).all()


def test_expected_dice_is_near_the_true_one_and_within_its_interval(gathered, compared):
    found = expect_dice(gathered, compared, gathered, compared)
    assert np.corrcoef(found.dice, gathered.dice)[0, 1] > 0.8
    assert (found.low <= found.dice).all()
    assert (found.dice <= found.high).all()
    covered = (found.low <= gathered.dice) & (gathered.dice <= found.high)
    assert covered.mean() > 0.7
    assert found.fails[gathered.dice < 0.3].mean() > found.fails[gathered.dice > 0.9].mean() + 0.5


def test_where_no_organ_has_enough_examples_nothing_has_a_verdict(gathered, compared):
    """As in a cohort of three patients with one scan each."""
    lacking = replace(compared, enough=np.zeros(len(gathered), bool))
    found = suspect(gathered, lacking, gathered, lacking)
    assert np.isnan(found.suspicion).all()
    assert (found.rests_on, found.measured, len(found.kinds)) == ((), {}, len(gathered))
    assert np.isnan(expect_dice(gathered, lacking, gathered, lacking).dice).all()
    one_class = suspect(gathered, compared, gathered[gathered.clean], compared[gathered.clean])
    assert np.isnan(one_class.suspicion).all()


def test_examples_of_one_patient_alone_give_no_expected_dice(gathered, compared):
    own = gathered.patients == "p0"
    found = expect_dice(gathered, compared, gathered[own], compared[own])
    for values in (found.dice, found.low, found.high, found.fails):
        assert np.isnan(values).all()
