"""Few patients calibrate by networks that have not seen them, and the trained network stays as it was."""

import json
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from scripts.queries.sampler import ClusterSampler
from scripts.queries.views import Views
from scripts.refine.calibration_fit import LEFT_OUT
from scripts.refine.halves import Halves
from tests.stages import run_here

SHORT = {"max_epochs": 2, "epoch_length": 2, "clusters_per_batch": 4, "calibration_batches": 2, "val_interval": 0}
PATIENTS = np.repeat([0, 1, 2, 3, 4], 6)  # of queries, in the order of names: a, b, c, d, pseudo


class Recorder:
    """Stands for a trainer: notes what it is given to learn from, and changes the network."""

    def __init__(self, network: nn.Linear, sampler: ClusterSampler) -> None:
        self.network, self.sampler, self.state = network, sampler, SimpleNamespace(epoch=7, iteration=70)
        self.learnt: list[set[int]] = []
        self.began: list[float] = []

    def run(self) -> None:
        assert (self.state.epoch, self.state.iteration) == (0, 0)
        self.learnt.append({int(PATIENTS[query]) for batch in self.sampler for query in batch})
        self.began.append(self.network.weight.item())
        nn.init.constant_(self.network.weight, 100)


def halves() -> tuple[Halves, Recorder]:
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 1)
    sampler = ClusterSampler(np.tile([0, 1, 2], 10), PATIENTS, 3, 2, batches=20)
    trainer = Recorder(network, sampler)
    learnt, checked = ([SimpleNamespace(patient=name) for name in names] for names in ("dcbaz", "bdca"))
    found = Halves(trainer, {"network": network}, sampler, Views(16), learnt, checked, max_epochs=4)
    found.keep()
    return found, trainer


def test_a_half_is_not_learnt_from_and_pseudo_labels_always_are():
    found, trainer = halves()
    with found.after_training():
        found.train_without([0, 2], 0)
        found.train_without([1, 3], 1)
    assert trainer.learnt == [{1, 3, 4}, {0, 2, 4}]


def test_each_half_starts_where_training_did_and_the_trained_network_comes_back():
    found, trainer = halves()
    nn.init.constant_(trainer.network.weight, 5)  # trained
    with found.after_training():
        found.train_without([0, 2], 0)
        found.train_without([1, 3], 1)
    assert trainer.began == [1, 1]
    assert trainer.network.weight.item() == 5
    assert {int(PATIENTS[query]) for batch in trainer.sampler for query in batch} == {0, 1, 2, 3, 4}


def test_a_later_round_does_not_change_where_training_started_and_the_last_one_calibrates():
    found, trainer = halves()
    nn.init.constant_(trainer.network.weight, 5)
    found.keep()  # a second round
    with found.after_training():
        found.train_without([0, 2], 0)
    assert trainer.began == [1]
    due = [found.due(SimpleNamespace(state=SimpleNamespace(max_epochs=epochs))) for epochs in (2, 4)]
    assert due == [False, True]


def trained(cohort, name, **given):
    run_here("train", dataset_dir=cohort, attention_dir=cohort / "labels", ckpt_dir=cohort / name,
             encoder_weights=None, **SHORT | given)  # fmt: skip
    weights = torch.load(cohort / name / "model.pt", weights_only=True)
    return weights, json.loads((cohort / name / "model.calibration.json").read_text())


def test_few_patients_calibrate_by_halves_and_the_weights_are_those_of_all(cohort):
    weights, calibration = trained(cohort, "halves")
    alone, bold = trained(cohort, "alone", calibration_share=0)
    _, again = trained(cohort, "again")
    assert calibration["made_of"] == LEFT_OUT
    assert bold["made_of"] == "training queries"
    assert all(torch.equal(weights[name], alone[name]) for name in alone)
    assert calibration["scales"] != bold["scales"]
    assert again["scales"] == calibration["scales"]


def test_both_halves_are_in_one_bar(cohort, capsys):
    trained(cohort, "models")
    assert "train without half of the patients: 4 of 4 steps" in capsys.readouterr().err


def test_a_single_epoch_can_be_halved_too(cohort):
    _, calibration = trained(cohort, "models", **{"max_epochs": 1})
    assert calibration["made_of"] == LEFT_OUT


def test_a_single_patient_is_not_halved(cohort):
    _, calibration = trained(cohort, "models", labelled=0.1)
    assert calibration["made_of"] == "training queries"
