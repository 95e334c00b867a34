"""Calibration: fitted scales against independent optimisers, decisions by brute force, and the file between stages."""

import json
import shutil
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import DataLoader

from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.files import checksum
from scripts.queries.views import Views
from scripts.refine.calibration import (
    BINS,
    INDIFFERENT,
    REACH,
    Calibrate,
    Calibration,
    Scale,
    calibration_path,
    fit_scale,
    load_scales,
)

EDGES = np.linspace(-REACH, REACH, BINS + 1)
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2


def drawn_from(slope: float, offset: float, voxels: int = 400_000, seed: int = 0) -> np.ndarray:
    """Counts (2, bins) of logits whose true probability is sigmoid(slope * logit + offset)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2, 4, voxels).clip(-19.9, 19.9)
    inside = rng.random(voxels) < 1 / (1 + np.exp(-(slope * logits + offset)))
    return np.stack([np.histogram(logits[inside == side], EDGES)[0] for side in (False, True)])


def probability(scale: Scale, logits: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(scale.slope * logits + scale.offset)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, -1.0), (2.0, 1.5)], ids=["honest", "bold", "timid"])
def test_the_scale_is_that_of_a_logistic_regression(slope, offset):
    counts = drawn_from(slope, offset)
    scale = fit_scale(counts)
    model = LogisticRegression(C=1e6, max_iter=1000)
    model.fit(np.tile(MIDDLES, 2)[:, None], np.repeat([0, 1], BINS), sample_weight=counts.ravel())
    assert scale.slope == pytest.approx(model.coef_[0, 0], rel=0.01)
    assert scale.offset == pytest.approx(model.intercept_[0], abs=0.01)
    assert (scale.slope, scale.offset) == pytest.approx((slope, offset), abs=0.05)


def test_the_scale_is_the_likeliest_of_those_that_are_believable():
    rng = np.random.default_rng(0)
    bounds = [(0.05, 20), (-10, 10)]
    at_bounds = 0
    for _ in range(60):
        true = 1 / (1 + np.exp(-(rng.uniform(-0.5, 6) * MIDDLES + rng.uniform(-15, 15))))
        seen = 10 ** rng.uniform(2, 6) * np.exp(-(((MIDDLES - rng.uniform(-10, 10)) / rng.uniform(0.5, 12)) ** 2))
        counts = np.floor(np.stack([seen * (1 - true), seen * true]))
        if not counts.sum(1).all():
            continue

        def loss(scale, counts=counts):
            logits = scale[0] * MIDDLES + scale[1]
            wrong = (counts[1] * np.logaddexp(0, -logits) + counts[0] * np.logaddexp(0, logits)).sum()
            return (wrong + (scale[0] - 1) ** 2 + scale[1] ** 2) / counts.sum()

        best = minimize(loss, [1.0, 0.0], method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-10})
        found = fit_scale(counts)
        assert loss((found.slope, found.offset)) <= best.fun + 1e-10
        at_bounds += any(value in pair for value, pair in zip((found.slope, found.offset), bounds, strict=True))
    assert at_bounds > 2


def test_calibrated_probabilities_are_the_shares_that_come_true():
    counts = drawn_from(0.4, -1.5)
    scale = fit_scale(counts)
    told = probability(scale, torch.from_numpy(MIDDLES)).numpy()
    for low in np.arange(0.05, 0.9, 0.1):
        here = (told >= low) & (told < low + 0.1)
        assert counts[1, here].sum() / counts[:, here].sum() == pytest.approx(
            (told[here] * counts[:, here].sum(0)).sum() / counts[:, here].sum(), abs=0.02
        )


@pytest.mark.parametrize("offset", [0.0, -2.0, -4.0, 3.0])
def test_the_decision_is_the_nearest_to_logit_0_that_is_as_good_as_the_best(offset):
    counts = drawn_from(1.0, offset, 20_000)
    scale = fit_scale(counts)

    def dice(edge: float) -> float:
        above = edge < MIDDLES
        return 2 * counts[1, above].sum() / (counts[:, above].sum() + counts[1].sum())

    decision = scale.decision
    assert decision == pytest.approx((np.log(scale.threshold / (1 - scale.threshold)) - scale.offset) / scale.slope)
    best = max(dice(edge) for edge in EDGES)
    assert dice(decision) >= best - INDIFFERENT - 1e-9
    nearer = [edge for edge in EDGES if abs(edge) < abs(decision) - 0.05]
    assert all(dice(edge) < best - INDIFFERENT for edge in nearer)
    if offset == -4.0:
        assert abs(decision) > 0.5  # not at logit 0
        assert scale.threshold < 0.5


@pytest.mark.parametrize("missing", [0, 1], ids=["never outside", "never inside"])
def test_an_object_that_was_not_seen_on_both_sides_is_left_alone(missing):
    counts = drawn_from(1.0, 0.0)
    counts[missing] = 0
    assert fit_scale(counts) == Scale(1.0, 0.0, 0.5)


@pytest.mark.parametrize("decision", [-6.0, -0.3, 0.0, 4.5])
@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, -1.5), (3.0, 2.0)])
def test_a_scale_draws_from_the_logit_it_was_made_to_decide_at(slope, offset, decision):
    scale = Scale.deciding(slope, offset, decision)
    assert (scale.slope, scale.offset, scale.decision) == pytest.approx((slope, offset, decision))
    assert scale.threshold == pytest.approx(float(probability(scale, torch.tensor(decision, dtype=torch.float64))))
    around = torch.tensor([decision - 1e-3, decision, decision + 1e-3], dtype=torch.float64)
    below, at, above = scale.standing(around).tolist()
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
    assert written.numbered(table) == {1: Scale(0.5, -1.25, 0.375), 2: Scale(), 3: Scale(2.0, 0.5, 0.5)}


def test_models_that_are_averaged_have_the_mean_calibration(tmp_path):
    first, second = weights(tmp_path, "a.pt"), weights(tmp_path, "b.pt")
    Calibration({"liver": Scale.deciding(1.0, -1.0, -3.0), "aorta": Scale(3.0, 0.0, 0.5)}).write(first, "x")
    Calibration({"liver": Scale.deciding(2.0, 0.0, 1.0)}).write(second, "x")
    mean = Calibration.of_models([str(first), str(second)]).scales
    assert (mean["liver"].slope, mean["liver"].offset, mean["liver"].decision) == pytest.approx((1.5, -0.5, -1.0))
    assert astuple(mean["aorta"]) == pytest.approx((2.0, 0.0, 0.5))  # the second model's is taken as it is


def test_a_calibration_of_other_weights_is_refused(tmp_path):
    Calibration({"liver": Scale()}).write(weights(tmp_path, "model.pt"), "x")
    (tmp_path / "model.pt").write_bytes(b"another model")
    with pytest.raises(SemclError, match=r"(?s)a calibration is of other weights.*copy both files together"):
        Calibration.read(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"scales": {"liver": {"slope": "steep"}}}'])
def test_a_file_that_is_missing_or_damaged_is_refused(content, tmp_path):
    path = tmp_path / "model.calibration.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SemclError, match=r"(?s)calibration of a model cannot be read.*run train\.yaml again"):
        Calibration.read(weights(tmp_path, "model.pt"))


@pytest.mark.parametrize("scale", [Scale(), Scale(0.5, -1.0, 0.2), Scale(2.0, 1.0, 0.9)])
def test_the_standing_is_the_odds_over_the_thresholds(scale):
    logits = torch.linspace(-5, 5, 11, dtype=torch.float64)
    told = probability(scale, logits)
    odds = told / (1 - told) / (scale.threshold / (1 - scale.threshold))
    assert torch.allclose(scale.standing(logits), odds / (1 + odds))
    assert torch.equal(scale.standing(logits) > 0.5, told > scale.threshold)


def test_the_file_says_of_which_weights_and_queries_it_is(tmp_path):
    path = weights(tmp_path, "model.pt")
    Calibration({"liver": Scale(0.5, -1.25, 0.375)}).write(path, "queries of fold 2")
    assert json.loads((tmp_path / "model.calibration.json").read_text()) == {
        "made_of": "queries of fold 2",
        "weights": checksum(path),
        "scales": {"liver": {"slope": 0.5, "offset": -1.25, "threshold": 0.375}},
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
        with pytest.raises(SemclError, match="a calibration is of other weights"):
            Calibration.of_models([str(first), str(second)])


class Loud(nn.Module):
    """Logits of 3 where the mask is, -3 elsewhere."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, 1:] * 6 - 3


def queries(table: LabelTable) -> DataLoader:
    """Two queries of object 1, whose target is half of the mask, and one of object 3, whose target is the mask."""
    mask = torch.zeros(1, 16, 16)
    mask[:, 4:12, 4:12] = 1
    half = mask.clone()
    half[:, :, 8:] = 0
    sample = {"image": torch.zeros(1, 16, 16), "attention": mask}
    samples = [{**sample, "object": 1, "target": half}] * 2 + [{**sample, "object": 3, "target": mask}]
    return DataLoader(samples, batch_size=2)


def test_the_handler_counts_every_voxel_and_writes_beside_the_weights(tmp_path, table):
    weights(tmp_path, "model.pt")
    still = Views(16, area=(1, 1), rotation=0)
    handler = Calibrate(
        str(tmp_path / "model.pt"), Loud(), queries(table), still, table, "training queries", torch.device("cpu")
    )
    counts = handler.count().reshape(4, 2, BINS)
    assert counts.sum((1, 2)).tolist() == [0, 512, 0, 256]
    high, low = (int(np.searchsorted(EDGES, logit, side="right")) - 1 for logit in (3.0, -3.0))
    assert counts[1, :, high].tolist() == [64, 64]  # of the mask half is the object
    assert counts[1, :, low].tolist() == [384, 0]
    assert counts[3, :, high].tolist() == [0, 64]

    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    engine.run([0], max_epochs=1)
    found = Calibration.read(tmp_path / "model.pt")
    assert set(found.scales) == set(table.names)
    bold = probability(found.scales["liver"], torch.tensor(3.0))
    assert float(bold) == pytest.approx(0.5, abs=0.1)
    assert found.scales["right_kidney"] == Scale()


def test_ignored_voxels_are_counted_for_no_object(table):
    loader = queries(table)
    for sample in loader.dataset:
        sample["target"] = sample["target"].clone()
        sample["target"][:, :4] = -1
    still = Views(16, area=(1, 1), rotation=0)
    handler = Calibrate("model.pt", Loud(), loader, still, table, "training queries", torch.device("cpu"))
    assert handler.count().reshape(4, 2, BINS)[1:].sum((1, 2)).tolist() == [2 * 12 * 16, 0, 12 * 16]


def test_calibrating_twice_gives_the_same_file_whatever_was_drawn_before(tmp_path, table):
    path = weights(tmp_path, "model.pt")

    def calibrate(seed: int, used: int = 0) -> bytes:
        views = Views(16, area=(0.3, 0.7), rotation=30)
        handler = Calibrate(str(path), Loud(), queries(table), views, table, "x", torch.device("cpu"), seed)
        for _ in range(used):  # as by training
            handler.count()
            views.set_random_state(used)
        handler(Engine(lambda engine, batch: None))
        first = calibration_path(path).read_bytes()
        handler(Engine(lambda engine, batch: None))
        assert calibration_path(path).read_bytes() == first
        return first

    alone = calibrate(0)
    assert calibrate(0, used=3) == alone
    assert calibrate(1) != alone


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
def test_a_calibration_of_numbers_that_are_none_is_refused(numbers, tmp_path):
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
