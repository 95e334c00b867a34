"""The expected Dice against sampled truths, and the file beside each prediction."""

import json

import pytest
import torch

from scripts.errors import SemclError
from scripts.refine.calibration import Scale
from scripts.refine.expected_dice import expected_dice, quality_path, read_quality
from tests.stages import run_here


def odds_of(scale: Scale) -> float:
    return scale.threshold / (1 - scale.threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.7])
def test_it_is_the_mean_dice_over_truths_drawn_from_the_probabilities(threshold):
    generator, scale = torch.Generator().manual_seed(0), Scale(threshold=threshold)
    probability = torch.rand(20, 20, 10, generator=generator) ** 3
    odds = probability / (1 - probability) / odds_of(scale)
    score = odds / (1 + odds)
    segmented = probability > threshold
    assert torch.equal(segmented, score > 0.5)
    dice = []
    for _ in range(200):
        truth = torch.rand(probability.shape, generator=generator) < probability
        dice.append(2 * (truth & segmented).sum() / (truth.sum() + segmented.sum()))
    assert expected_dice(score, scale).item() == pytest.approx(torch.stack(dice).mean().item(), abs=0.003)


def test_certainty_is_a_dice_of_one_and_nothing_segmented_one_of_zero():
    score = torch.zeros(4, 4, 4)
    assert expected_dice(score, Scale()) == 0
    score[1:3] = 1
    assert expected_dice(score, Scale()).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"organs": [1]}', '{"organs": {"liver": {"dice": 2}}}'])
def test_a_damaged_file_is_not_taken_for_a_dice(text, tmp_path):
    path = quality_path(tmp_path, "a")
    path.write_text(text)
    with pytest.raises((SemclError, ValueError, TypeError, LookupError, AttributeError)):
        read_quality(path)


def test_inference_writes_it_beside_each_prediction_and_keeps_it_with_it(cohort):
    short = {"dataset_dir": cohort, "attention_dir": cohort / "labels"}
    run_here("train", **short, encoder_weights=None, max_epochs=3, epoch_length=10, calibration_share=0)
    run_here("inference", **short)
    written = sorted((cohort / "predictions").glob("*.quality.json"))
    assert [path.name.removesuffix(".quality.json") for path in written] == sorted(
        path.name.removesuffix(".nii.gz") for path in (cohort / "predictions").glob("*.nii.gz")
    )
    content, dice = json.loads(written[0].read_text()), read_quality(written[0])
    assert len(dice) > 2
    assert content["dice"] == pytest.approx(sum(dice.values()) / len(dice), abs=1e-3)
    before = written[0].stat().st_mtime_ns
    run_here("inference", **short)  # up to date
    assert written[0].stat().st_mtime_ns == before
