"""Calibrations: scales of logits, and the file beside the weights."""

import json
import shutil
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from scripts.errors import SemclError
from scripts.files import checksum
from scripts.refine.calibration import Calibration, Scale, calibration_path, load_scales, scored


def probability(scale: Scale, logits: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(scale.slope * logits + scale.offset)


@pytest.mark.parametrize("decision", [-6.0, -0.3, 0.0, 4.5])
@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, -1.5), (3.0, 2.0)])
def test_a_scale_decides_at_the_logit_it_was_made_for(slope, offset, decision):
    scale = Scale.from_decision(slope, offset, decision)
    assert (scale.slope, scale.offset, scale.decision) == pytest.approx((slope, offset, decision))
    assert scale.threshold == pytest.approx(float(probability(scale, torch.tensor(decision, dtype=torch.float64))))
    around = torch.tensor([decision - 1e-3, decision, decision + 1e-3], dtype=torch.float64)
    below, at, above = scored(around[None], [scale])[0].tolist()
    assert below < 0.5 < above
    assert at == pytest.approx(0.5)


def test_a_scale_that_changes_nothing_decides_at_logit_0():
    assert Scale().decision == 0


def weights(folder: Path, name: str) -> Path:
    (folder / name).write_bytes(name.encode())
    return folder / name


def test_it_is_written_and_read_back(tmp_path, table):
    written = Calibration({"liver": Scale(0.5, -1.25, 0.375), "left_kidney": Scale(2.0, 0.5, 0.5)})
    written.write(weights(tmp_path, "model.pt"), "training queries")
    assert Calibration.read(tmp_path / "model.pt").scales == written.scales
    assert written.by_number(table) == {1: Scale(0.5, -1.25, 0.375), 2: Scale(), 3: Scale(2.0, 0.5, 0.5)}


def test_models_that_are_averaged_have_the_mean_calibration(tmp_path):
    first, second = weights(tmp_path, "a.pt"), weights(tmp_path, "b.pt")
    Calibration({"liver": Scale.from_decision(1.0, -1.0, -3.0), "aorta": Scale(3.0, 0.0, 0.5)}).write(first, "x")
    Calibration({"liver": Scale.from_decision(2.0, 0.0, 1.0)}).write(second, "x")
    mean = Calibration.mean([str(first), str(second)]).scales
    assert (mean["liver"].slope, mean["liver"].offset, mean["liver"].decision) == pytest.approx((1.5, -0.5, -1.0))
    assert astuple(mean["aorta"]) == pytest.approx((2.0, 0.0, 0.5))  # the second model's is taken as it is


def test_a_calibration_of_other_weights_is_refused(tmp_path):
    Calibration({"liver": Scale()}).write(weights(tmp_path, "model.pt"), "x")
    (tmp_path / "model.pt").write_bytes(b"another model")
    with pytest.raises(SemclError, match=r"(?s)a calibration belongs to other weights.*copy both files together"):
        Calibration.read(tmp_path / "model.pt")


def test_weights_of_the_best_validation_need_no_other_training(tmp_path):
    path = weights(tmp_path, "model_best.pt")
    with pytest.raises(SemclError, match=r"(?s)no calibration.*_best\.pt\) have none.*--calibrated False") as raised:
        load_scales([str(path)], table=None)
    assert "train.yaml again" not in str(raised.value)
    assert load_scales([str(path)], table=None, wanted=False) == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"scales": {"liver": {"slope": "steep"}}}'])
def test_a_file_that_is_damaged_is_refused(content, tmp_path):
    (tmp_path / "model.calibration.json").write_text(content)
    with pytest.raises(SemclError, match=r"(?s)calibration of a model cannot be read.*run train\.yaml again"):
        Calibration.read(weights(tmp_path, "model.pt"))


@pytest.mark.parametrize("scale", [Scale(), Scale(0.5, -1.0, 0.2), Scale(2.0, 1.0, 0.9)])
def test_the_score_is_the_odds_over_the_thresholds(scale):
    logits = torch.linspace(-5, 5, 11, dtype=torch.float64)
    calibrated = probability(scale, logits)
    odds = calibrated / (1 - calibrated) / (scale.threshold / (1 - scale.threshold))
    _, score = scored(logits.expand(2, -1), [Scale(0.7, 0.2, 0.6), scale])
    assert torch.allclose(score, odds / (1 + odds))
    assert torch.equal(score > 0.5, calibrated > scale.threshold)


def test_the_file_records_weights_and_queries(tmp_path):
    path = weights(tmp_path, "model.pt")
    Calibration({"liver": Scale(0.5, -1.25, 0.375)}).write(path, "queries of fold 2")
    assert json.loads((tmp_path / "model.calibration.json").read_text()) == {
        "made_of": "queries of fold 2",
        "weights": checksum(path),
        "scales": {"liver": {"slope": 0.5, "offset": -1.25, "threshold": 0.375}},
        "quality": {},
    }


@pytest.mark.parametrize("together", [True, False], ids=["both", "the calibration alone"])
def test_a_calibration_is_copied_with_its_weights(together, tmp_path):
    first, second = weights(tmp_path, "model.pt"), weights(tmp_path, "other.pt")
    Calibration({"liver": Scale(0.5, -1.25, 0.375)}).write(first, "x")
    shutil.copy(tmp_path / "model.calibration.json", tmp_path / "other.calibration.json")
    if together:
        shutil.copy(first, second)
        assert Calibration.read(second).scales == {"liver": Scale(0.5, -1.25, 0.375)}
    else:
        with pytest.raises(SemclError, match="a calibration belongs to other weights"):
            Calibration.mean([str(first), str(second)])


def test_scales_are_those_of_the_models_by_object_number(tmp_path, table):
    Calibration({"liver": Scale(1.5, 0.5, 0.25)}).write(weights(tmp_path, "model.pt"), "x")
    scales = load_scales([str(tmp_path / "model.pt")], table)
    assert set(scales) == {1, 2, 3}
    assert astuple(scales[1]) == pytest.approx((1.5, 0.5, 0.25))


def test_scales_that_are_not_wanted_are_not_read(tmp_path, table):
    assert load_scales([str(tmp_path / "nowhere.pt")], table, wanted=False) == {}


@pytest.mark.parametrize(
    "numbers",
    [
        {"slope": float("nan")}, {"slope": 0.0}, {"slope": -1.0}, {"offset": float("inf")},
        {"threshold": 0.0}, {"threshold": 1.0}, {"threshold": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_a_calibration_with_invalid_numbers_is_refused(numbers, tmp_path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    Calibration({"liver": Scale()}).write(weights, "training queries")
    path = calibration_path(weights)
    content = json.loads(path.read_text())
    content["scales"]["liver"] |= numbers
    path.write_text(json.dumps(content))
    (name,) = numbers
    with pytest.raises(
        SemclError, match=rf"(?s)calibration of a model cannot be read.*{name} {next(iter(numbers.values()))}"
    ):
        Calibration.read(weights)
