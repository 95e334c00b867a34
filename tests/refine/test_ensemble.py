"""Several models as one: the mean of their logits, each with weights of its own."""

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from scripts.errors import SemclError
from scripts.job.weights import save_weights
from scripts.refine.ensemble import LoadMembers, averaged


def model(weight: float) -> nn.Conv2d:
    made = nn.Conv2d(2, 1, 1)
    nn.init.constant_(made.weight, weight)
    nn.init.constant_(made.bias, 0.5)
    return made


def test_one_member_is_the_network_itself():
    network = model(2)
    assert averaged(network, 1) is network  # whose weights keep their names: other programs load model.pt into it


def test_members_are_loaded_each_from_its_file_and_averaged(tmp_path):
    weights = {"model_fold0.pt": 1.0, "model_fold1.pt": 2.0, "model_fold2.pt": 6.0}
    for name, weight in weights.items():
        save_weights(tmp_path / name, model(weight), {})
    ensemble = averaged(model(0), 3)
    engine = Engine(lambda engine, batch: None)
    LoadMembers([str(tmp_path / name) for name in weights], ensemble, "train.yaml").attach(engine)
    queries = torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(ensemble(queries), model(3.0)(queries))


def test_a_member_without_weights_is_named(tmp_path):
    save_weights(tmp_path / "model.pt", model(1), {})
    engine = Engine(lambda engine, batch: None)
    paths = [str(tmp_path / "model.pt"), str(tmp_path / "model_fold1.pt")]
    LoadMembers(paths, averaged(model(0), 2), "train.yaml").attach(engine)
    with pytest.raises(SemclError, match=r"(?s)no \S+model_fold1\.pt.*train\.yaml"):
        engine.run([0])


def test_an_ensemble_without_members_is_refused():
    with pytest.raises(SemclError, match="set models"):
        averaged(model(0), 0)
