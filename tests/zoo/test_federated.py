"""Federated rounds by MONAI's own client: every round trains on from the weights that the server sends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject

from tests.stages import small_numbers


@pytest.fixture(scope="module")
def client(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> MonaiAlgo:
    """A client that trains for one epoch a round, at a rate that changes weights by nothing to speak of."""
    cohort = shutil.copytree(trained, tmp_path_factory.mktemp("federated") / "cohort")
    given = small_numbers("train") | {"epoch_length": 2, "learning_rate": 1e-12, "calibration_batches": 1}
    made = MonaiAlgo(
        str(Path("bundle").resolve()),
        config_train_filename="configs/train.yaml",
        train_kwargs={**given, "dataset_dir": str(cohort)},
        config_evaluate_filename=None,
        send_weight_diff=False,
    )
    made.initialize()
    return made


def test_each_round_starts_from_the_global_weights(client):
    weights = {name: value.clone() for name, value in client.trainer.network.state_dict().items()}
    name = next(name for name in weights if name.startswith("encoder") and weights[name].ndim == 4)
    for value in (7.0, -3.0):
        weights[name] = torch.full_like(weights[name], value)
        client.train(ExchangeObject(weights=weights))
        assert torch.allclose(client.get_weights().weights[name], weights[name])
