"""Reliability, ECE and Brier score against calculations by hand and scikit-learn, judged on other patients."""

import numpy as np
import pytest
import torch
from monai.metrics import CalibrationErrorMetric, calibration_binning
from sklearn.metrics import brier_score_loss

from scripts.refine.calibration import Scale
from scripts.refine.calibration_quality import (
    RELIABILITY_BINS,
    calibration_quality,
    merged_quality,
    organ_quality,
    quality,
)
from scripts.refine.platt import BINS, LOGIT_CENTRES, LOGIT_EDGES


def counted(slope: float, seed: int, voxels: int = 200_000) -> np.ndarray:
    """Counts (2, bins) of logits whose true probability is sigmoid(slope * logit)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 4, voxels).clip(-19.9, 19.9)
    inside = rng.random(voxels) < 1 / (1 + np.exp(-slope * logits))
    return np.stack([np.histogram(logits[inside == side], LOGIT_EDGES)[0] for side in (False, True)])


def test_quality_worked_by_hand() -> None:
    found = quality(np.array([[3.0, 1.0], [1.0, 5.0]]), np.array([0.15, 0.95]))
    assert found["reliability"] == [[0.15, 0.25, 4], [0.95, round(5 / 6, 6), 6]]
    assert found["ece"] == pytest.approx((0.10 * 4 + (0.95 - 5 / 6) * 6) / 10)
    assert found["brier"] == pytest.approx((3 * 0.15**2 + 0.85**2 + 0.95**2 + 5 * 0.05**2) / 10)


def test_brier_is_scikit_learns() -> None:
    probabilities = 1 / (1 + np.exp(-LOGIT_CENTRES))
    counts = counted(0.5, 0)
    theirs = brier_score_loss(np.repeat([0, 1], BINS), np.tile(probabilities, 2), sample_weight=counts.ravel())
    assert quality(counts, probabilities)["brier"] == pytest.approx(theirs)


@pytest.mark.parametrize("voxels", [50_000, 4_000_000])
def test_ece_is_that_of_its_definition(voxels: int) -> None:
    probabilities = 1 / (1 + np.exp(-LOGIT_CENTRES))
    outside, inside = counts = counted(0.5, 0, voxels)
    ece = 0.0
    for at in range(RELIABILITY_BINS):
        held = (probabilities > at / RELIABILITY_BINS) & (probabilities <= (at + 1) / RELIABILITY_BINS)
        ece += abs((probabilities * (outside + inside))[held].sum() - inside[held].sum()) / voxels
    assert quality(counts, probabilities)["ece"] == pytest.approx(ece, abs=1e-9)


def test_ece_and_reliability_are_those_of_monai() -> None:
    probabilities = 1 / (1 + np.exp(-LOGIT_CENTRES))
    counts = counted(0.5, 0, 5_000)
    predicted = torch.from_numpy(np.concatenate([np.repeat(probabilities, side) for side in counts]))[None, None]
    seen = torch.from_numpy(np.repeat([0.0, 1.0], counts.sum(1)))[None, None]
    metric = CalibrationErrorMetric(num_bins=RELIABILITY_BINS, calibration_reduction="expected")
    metric(predicted, seen)
    found = quality(counts, probabilities)
    assert found["ece"] == pytest.approx(float(metric.aggregate()), abs=1e-6)
    theirs = torch.stack(calibration_binning(predicted, seen, RELIABILITY_BINS))[:, 0, 0].T.numpy()
    assert np.allclose(found["reliability"], theirs, atol=1e-5)


def test_a_few_voxels_inside_count_beside_millions_outside() -> None:
    found = quality(np.array([[14_000_000.0, 500.0], [0.0, 100.0]]), np.array([0.01, 0.55]))
    assert found["reliability"] == [[0.01, 0, 14_000_000], [0.55, round(1 / 6, 6), 600]]


def test_merged_quality_is_that_of_all_voxels() -> None:
    probabilities = 1 / (1 + np.exp(-LOGIT_CENTRES))
    parts = [counted(0.4, 0, 30_000), counted(0.8, 1, 60_000)]
    found = [quality(part, probabilities) for part in parts]
    merged = merged_quality([{"liver": {"raw": one, "calibrated": one}} for one in found])["liver"]["raw"]
    whole = quality(parts[0] + parts[1], probabilities)
    assert merged["ece"] == pytest.approx(whole["ece"], abs=1e-5)
    assert merged["brier"] == pytest.approx(whole["brier"])
    assert np.allclose(merged["reliability"], whole["reliability"], atol=1e-4)
    assert merged_quality([{"liver": {"raw": {}, "calibrated": {}}}]) == {"liver": {"raw": {}, "calibrated": {}}}


def test_calibration_lowers_the_error_of_an_overconfident_network_on_other_patients() -> None:
    counts = np.zeros((2, 3, 2, BINS))
    for half in range(2):
        counts[half, 1], counts[half, 2] = counted(0.4, half), counted(1.0, 2 + half)
    found = calibration_quality(counts, ("bold", "honest"), LOGIT_CENTRES)
    assert list(found) == ["all organs", "bold", "honest"]
    assert found["bold"]["raw"]["ece"] > 0.05
    assert found["bold"]["calibrated"]["ece"] < 0.01
    assert found["honest"]["raw"]["ece"] < 0.01
    assert found["all organs"]["calibrated"]["ece"] < found["all organs"]["raw"]["ece"]
    assert found["bold"]["calibrated"]["brier"] < found["bold"]["raw"]["brier"]


def test_a_calibration_is_judged_by_the_half_it_was_not_fitted_to() -> None:
    halves = [counted(0.3, 0), counted(1.0, 1)]
    scales = [Scale(1.0, 0.0), Scale(0.3, 0.0)]  # each fits the other half
    found = organ_quality(np.stack(halves), scales, LOGIT_CENTRES)
    assert found["calibrated"]["ece"] > 0.03


def test_an_organ_without_voxels_has_no_quality() -> None:
    assert quality(np.zeros((2, BINS)), np.full(BINS, 0.5)) == {}
