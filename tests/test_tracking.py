"""Training stages tracked by MLflow and TensorBoard, enabled as in MONAI."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.stages import ROOT, run_here

CONFIGS = ROOT / "bundle" / "configs"
ROUNDS = {"coarse": 3, "pretrain": 1}  # runs of the trainer in a stage: coarse has one a fold and one more
EPOCHS, STEPS = 2, 3


def by_mlflow(stage: str, cohort: Path, **given: object) -> list[float]:
    run_here(stage, tracking="mlflow", experiment_name="organs", **given)
    client = MlflowClient(f"sqlite:///{cohort}/mlruns.db")
    runs = client.search_runs([client.get_experiment_by_name("organs").experiment_id], order_by=["start_time"])
    return [logged.value for run in runs for logged in client.get_metric_history(run.info.run_id, "train_loss")]


def by_tensorboard(stage: str, cohort: Path, **given: object) -> list[float]:
    run_here(stage, CONFIGS / "tensorboard.yaml", **given)
    events = EventAccumulator(str(cohort / "tensorboard" / stage))
    events.Reload()
    return [logged.value for logged in events.Scalars("loss")]


@pytest.mark.parametrize("losses", [by_mlflow, by_tensorboard])
@pytest.mark.parametrize("stage", ROUNDS)
def test_the_loss_of_every_step_is_followed(stage: str, losses: Callable[..., list[float]], cohort: Path):
    given = {"dataset_dir": cohort, "attention_dir": cohort / "labels", "max_epochs": EPOCHS, "epoch_length": STEPS}
    if stage == "coarse":
        given["attention_dir"] = cohort / "attention"
    followed = losses(stage, cohort, **given)
    assert len(followed) == ROUNDS[stage] * EPOCHS * STEPS
    with open(cohort / "curves" / f"{stage}.csv", newline="") as file:
        epochs = [float(row["loss"]) for row in csv.DictReader(file)]
    means = [sum(followed[start : start + STEPS]) / STEPS for start in range(0, len(followed), STEPS)]
    assert means == pytest.approx(epochs, abs=1e-4)


@pytest.mark.parametrize("stage", ["coarse", "pretrain", "train"])
def test_trackers_receive_readable_outputs(stage: str):
    config = yaml.safe_load((CONFIGS / f"{stage}.yaml").read_text())
    assert config["train"]["handlers"][-1] == {"_target_": "scripts.components.AsSamples"}
