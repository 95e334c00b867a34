"""Runs that go on with more epochs: where the schedule allows it, and fitted anew where it depends on their number."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, PolynomialLR

from scripts.errors import SemclError
from scripts.job.config_check import flatten
from scripts.job.longer import fitted_to_length, is_longer, refit, require_schedule
from scripts.job.stage_options import RESUMED
from tests.job.test_checkpoint import STEPS, Training, same, stir
from tests.stages import ROOT, refusal, run_here

FITTED = {"max_epochs": 6, "scheduler#total_steps": "$@max_epochs * @epoch_length"}


@pytest.mark.parametrize(
    ("before", "now", "longer"),
    [(3, 6, True), (3, 6.0, True), (6, 3, False), (3, 3, False), (3, "$2 * 3", False), (None, 3, False)],
)
def test_only_a_larger_number_of_epochs_is_longer(before: object, now: object, longer: bool) -> None:
    assert is_longer({"max_epochs": before}, {"max_epochs": now}) is longer


@pytest.mark.parametrize("stage", RESUMED)
def test_the_schedules_that_ship_depend_on_the_number_of_epochs(stage: str) -> None:
    config = flatten(ConfigParser.load_config_file(ROOT / "bundle" / "configs" / f"{stage}.yaml"))
    found = fitted_to_length(config)
    assert "scheduler#total_steps" in found
    assert all("max_epochs" in config[key] for key in found)
    assert "train#trainer#max_epochs" not in found


def test_a_schedule_that_does_not_depend_on_it_allows_more_epochs() -> None:
    require_schedule({"max_epochs": 6, "scheduler#gamma": 0.9}, {"max_epochs": 3}, 0, "begun")
    require_schedule(FITTED, {"max_epochs": 3}, 0, "refitted")


def test_a_schedule_of_the_length_is_refused_with_a_way_out() -> None:
    with pytest.raises(SemclError, match=r"(?s)fitted to 3 epochs.*scheduler#total_steps.*--schedule refitted"):
        require_schedule(FITTED, {"max_epochs": 3}, 0, "begun")


def test_a_run_of_several_networks_is_refused() -> None:
    with pytest.raises(SemclError, match=r"(?s)several networks.*2 of them trained for 3 epochs"):
        require_schedule(FITTED, {"max_epochs": 3}, 2, "refitted")


def test_another_word_is_refused() -> None:
    with pytest.raises(SemclError, match="refitted"):
        require_schedule(FITTED, {"max_epochs": 3}, 0, "refited")


def scheduled(kind: type[LRScheduler], steps: int) -> tuple[torch.optim.AdamW, LRScheduler]:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], 0.1)
    total = {"max_lr": 0.1, "total_steps": steps} if kind is OneCycleLR else {"total_iters": steps}
    return optimizer, kind(optimizer, **total)


@pytest.mark.parametrize("kind", [OneCycleLR, PolynomialLR])
def test_a_refitted_schedule_is_that_of_the_longer_run_and_keeps_the_moments(kind: type[LRScheduler]) -> None:
    rates = dict[str, list[float]]()
    for name, steps in (("short", 10), ("long", 25)):
        optimizer, scheduler = scheduled(kind, steps)
        rates[name] = []
        for _ in range(8 if name == "short" else 20):
            optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
            optimizer.step()
            scheduler.step()
            rates[name].append(optimizer.param_groups[0]["lr"])
        if name == "short":
            states = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    optimizer, scheduler = scheduled(kind, 25)
    refit(scheduler, optimizer, states)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rates["long"][7])
    assert optimizer.param_groups[0]["lr"] != pytest.approx(rates["short"][7])
    moments = optimizer.state_dict()["state"][0]
    assert all(torch.equal(value, states["optimizer"]["state"][0][key]) for key, value in moments.items())
    assert moments["step"] == 8
    for step in range(8, 20):
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rates["long"][step])


@pytest.mark.parametrize("cut", [6, 8, 12])
def test_a_run_goes_on_to_the_weights_of_a_longer_one_where_the_schedule_allows_it(cut: int, tmp_path: Path) -> None:
    whole = Training(tmp_path / "whole", epochs=5, fitted=False)
    whole.trainer.run()
    first = Training(tmp_path / "cut", fitted=False)
    if cut < 12:
        first.cut(cut)
    else:
        first.trainer.run()  # to its end
    stir()
    longer = Training(tmp_path / "cut", resume=True, epochs=5, fitted=False)
    longer.trainer.run()
    assert longer.trainer.state.iteration == 5 * STEPS
    assert same(longer, whole)


def test_a_run_goes_on_with_the_learning_rates_of_a_longer_one(tmp_path: Path) -> None:
    Training(tmp_path).trainer.run()
    longer = Training(tmp_path, resume=True, epochs=6)
    whole = OneCycleLR(torch.optim.SGD(longer.network.parameters(), 0.1, momentum=0.9), 0.1, total_steps=6 * STEPS)
    longer.cut(3 * STEPS + 1)
    for _ in range(3 * STEPS + 1):
        whole.step()
    assert longer.optimizer.param_groups[0]["lr"] == pytest.approx(whole.get_last_lr()[0])


# a stage


def epochs_in(out: Path) -> list[int]:
    with open(out / "curves" / "pretrain_slices.csv", newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def test_a_finished_stage_goes_on_with_more_epochs_when_told_so(phantoms: Path, tmp_path: Path) -> None:
    given = {"dataset_dir": phantoms, "output_dir": tmp_path}
    run_here("pretrain_slices", **given)
    first = (tmp_path / "models" / "encoder.pt").read_bytes()
    assert "a larger --max_epochs" in refusal("pretrain_slices", **given, resume=True)
    message = refusal("pretrain_slices", **given, resume=True, max_epochs=4)
    assert "the schedule of this run is fitted to 2 epochs" in message
    assert "add --schedule refitted" in message
    changed = refusal("pretrain_slices", **given, resume=True, max_epochs=4, batch_size=8)
    assert "batch_size" in changed
    assert "max_epochs" not in changed
    assert (tmp_path / "models" / "encoder.pt").read_bytes() == first
    run_here("pretrain_slices", **given, resume=True, max_epochs=4, schedule="refitted")
    assert epochs_in(tmp_path) == [1, 2, 3, 4]
    assert (tmp_path / "models" / "encoder.pt").read_bytes() != first
    manifest = json.loads((tmp_path / "jobs" / "pretrain_slices.json").read_text())
    assert (manifest["status"], manifest["config"]["max_epochs"]) == ("completed", 4)
