"""Fitted calibrations against independent optimisers, and decisions by brute force."""

import json

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
from scripts.queries.views import Views
from scripts.refine.calibration import Calibration, Scale, calibration_path
from scripts.refine.calibration_fit import Calibrate
from scripts.refine.platt import BINS, DICE_TOLERANCE, fit_scale
from scripts.refine.platt import LOGIT_CENTRES as CENTRES
from scripts.refine.platt import LOGIT_EDGES as EDGES
from tests.refine.test_calibration import probability, weights
from tests.stages import run_here

PRECISE = {"xatol": 1e-9, "fatol": 1e-14, "maxiter": 2000}


def sampled_from(slope: float, offset: float, voxels: int = 400_000, seed: int = 0) -> np.ndarray:
    """Counts (2, bins) of logits whose true probability is sigmoid(slope * logit + offset)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2, 4, voxels).clip(-19.9, 19.9)
    inside = rng.random(voxels) < 1 / (1 + np.exp(-(slope * logits + offset)))
    return np.stack([np.histogram(logits[inside == side], EDGES)[0] for side in (False, True)])


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, -1.0), (2.0, 1.5)], ids=["honest", "bold", "timid"])
def test_the_scale_is_that_of_a_logistic_regression(slope, offset):
    counts = sampled_from(slope, offset)
    scale = fit_scale(counts)
    model = LogisticRegression(C=1e6, max_iter=1000)
    model.fit(np.tile(CENTRES, 2)[:, None], np.repeat([0, 1], BINS), sample_weight=counts.ravel())
    assert scale.slope == pytest.approx(model.coef_[0, 0], rel=0.01)
    assert scale.offset == pytest.approx(model.intercept_[0], abs=0.01)
    assert (scale.slope, scale.offset) == pytest.approx((slope, offset), abs=0.05)


def test_the_scale_maximises_the_posterior():
    rng = np.random.default_rng(0)
    bounds = [(0.05, 20), (-10, 10)]
    at_bounds = 0
    for _ in range(60):
        true = 1 / (1 + np.exp(-(rng.uniform(-0.5, 6) * CENTRES + rng.uniform(-15, 15))))
        seen = 10 ** rng.uniform(2, 6) * np.exp(-(((CENTRES - rng.uniform(-10, 10)) / rng.uniform(0.5, 12)) ** 2))
        counts = np.floor(np.stack([seen * (1 - true), seen * true]))
        if not counts.sum(1).all():
            continue

        def loss(scale, counts=counts):
            logits = scale[0] * CENTRES + scale[1]
            wrong = (counts[1] * np.logaddexp(0, -logits) + counts[0] * np.logaddexp(0, logits)).sum()
            return (wrong + (scale[0] - 1) ** 2 + scale[1] ** 2) / counts.sum()

        best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", bounds=bounds, options=PRECISE)
        found = fit_scale(counts)
        assert loss((found.slope, found.offset)) <= best.fun + 1e-10
        at_bounds += any(value in pair for value, pair in zip((found.slope, found.offset), bounds, strict=True))
    assert at_bounds > 2


def test_calibrated_probabilities_match_observed_frequencies():
    counts = sampled_from(0.4, -1.5)
    scale = fit_scale(counts)
    predicted = probability(scale, torch.from_numpy(CENTRES)).numpy()
    for low in np.arange(0.05, 0.9, 0.1):
        here = (predicted >= low) & (predicted < low + 0.1)
        assert counts[1, here].sum() / counts[:, here].sum() == pytest.approx(
            (predicted[here] * counts[:, here].sum(0)).sum() / counts[:, here].sum(), abs=0.02
        )


@pytest.mark.parametrize("offset", [0.0, -2.0, -4.0, 3.0])
def test_the_decision_is_the_nearest_to_logit_0_that_is_as_good_as_the_best(offset):
    counts = sampled_from(1.0, offset, 20_000)
    scale = fit_scale(counts)

    def dice(edge: float) -> float:
        above = edge < CENTRES
        return 2 * counts[1, above].sum() / (counts[:, above].sum() + counts[1].sum())

    decision = scale.decision
    assert decision == pytest.approx((np.log(scale.threshold / (1 - scale.threshold)) - scale.offset) / scale.slope)
    best = max(dice(edge) for edge in EDGES)
    assert dice(decision) >= best - DICE_TOLERANCE - 1e-9
    nearer = [edge for edge in EDGES if abs(edge) < abs(decision) - 0.05]
    assert all(dice(edge) < best - DICE_TOLERANCE for edge in nearer)
    if offset == -4.0:
        assert abs(decision) > 0.5  # not at logit 0
        assert scale.threshold < 0.5


@pytest.mark.parametrize("missing", [0, 1], ids=["never outside", "never inside"])
def test_an_object_without_both_classes_is_not_calibrated(missing):
    counts = sampled_from(1.0, 0.0)
    counts[missing] = 0
    assert fit_scale(counts) == Scale(1.0, 0.0, 0.5)


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
    samples = [{**sample, "object": number, "target": half if number == 1 else mask} for number in (1, 1, 3)]
    return DataLoader(samples, batch_size=2)


def test_the_handler_counts_every_voxel_and_writes_beside_the_weights(tmp_path, table):
    weights(tmp_path, "model.pt")
    still = Views(16, area=(1, 1), rotation=0)
    handler = Calibrate(
        str(tmp_path / "model.pt"), Loud(), queries(table), still, table, "training queries", torch.device("cpu")
    )
    counts = handler.count().sum(0)
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


def test_each_half_of_the_patients_is_counted_by_itself_and_judged(tmp_path, table):
    path = weights(tmp_path, "model.pt")
    loader = queries(table)
    for number, sample in enumerate(loader.dataset):
        sample["query"] = number
    patients = np.array([7, 9, 9])
    still = Views(16, area=(1, 1), rotation=0)
    handler = Calibrate(str(path), Loud(), loader, still, table, "x", torch.device("cpu"), patients=patients)
    assert handler.count().sum((2, 3)).tolist() == [[0, 256, 0, 0], [0, 256, 0, 256]]
    handler(Engine(lambda engine, batch: None))
    judged = json.loads(calibration_path(path).read_text())["quality"]
    assert set(judged) == {"all organs", *table.names}
    assert judged["liver"]["raw"]["ece"] > 0
    assert judged["right_kidney"] == {"raw": {}, "calibrated": {}}


def test_held_out_patients_calibrate_where_there_are_enough(cohort):
    given = {"max_epochs": 1, "epoch_length": 2, "clusters_per_batch": 4, "calibration_batches": 1}
    given |= {"encoder_weights": None, "calibration_patients": 3}
    run_here("train", dataset_dir=cohort, attention_dir=cohort / "labels", **given)
    content = json.loads((cohort / "models" / "model.calibration.json").read_text())
    assert content["made_of"] == "queries of held-out patients"
    assert 0 <= content["quality"]["all organs"]["calibrated"]["brier"] <= 1


def test_ignored_voxels_are_counted_for_no_object(table):
    loader = queries(table)
    for sample in loader.dataset:
        sample["target"] = sample["target"].clone()
        sample["target"][:, :4] = -1
    still = Views(16, area=(1, 1), rotation=0)
    handler = Calibrate("model.pt", Loud(), loader, still, table, "training queries", torch.device("cpu"))
    assert handler.count().sum(0)[1:].sum((1, 2)).tolist() == [2 * 12 * 16, 0, 12 * 16]


def test_calibrating_twice_gives_the_same_file_whatever_was_sampled_before(tmp_path, table):
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


def test_the_calibration_of_models_without_a_fold_is_taken(tmp_path, table):
    judged = {"ece": 0.1, "brier": 0.2, "reliability": [[0.55, 0.5, 10.0]]}
    members = {"model_fold0.pt": Scale(2.0, 0.0, 0.5), "model_fold1.pt": Scale(1.0, 0.0, 0.5)}
    for name, scale in members.items():
        quality = {"all organs": {"raw": judged, "calibrated": judged}}
        Calibration({"liver": scale}, quality).write(weights(tmp_path, name), "queries of a fold")
    given = (Loud(), queries(table), Views(16, area=(1, 1), rotation=0), table, "training queries", torch.device("cpu"))
    path = weights(tmp_path, "model.pt")
    handler = Calibrate(str(path), *given, cross_fitted=[str(tmp_path / name) for name in members])
    engine = Engine(lambda engine, batch: None)
    handler.claim(engine)
    handler(engine)
    assert Calibration.read(path).scales["liver"] == Scale(1.5, 0.0, 0.5)
    content = json.loads(calibration_path(path).read_text())
    assert content["made_of"] == "queries of the folds left out by model_fold0.pt, model_fold1.pt"
    assert content["quality"]["all organs"]["raw"]["reliability"] == [[0.55, 0.5, 20.0]]


def test_a_model_without_a_fold_that_is_missing_is_named_before_training(tmp_path, table):
    given = (Loud(), queries(table), Views(16, area=(1, 1), rotation=0), table, "training queries", torch.device("cpu"))
    handler = Calibrate(str(tmp_path / "model.pt"), *given, cross_fitted=[str(tmp_path / "model_fold0.pt")])
    with pytest.raises(SemclError, match=r"model_fold0\.calibration\.json"):
        handler.claim(Engine(lambda engine, batch: None))
