"""Progress bars, and curves of the mean loss per epoch."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from scripts.errors import SemclError
from scripts.job.progress import LossCurve, Progress, ValidationCurve, mean_loss
from scripts.outputs import visible

OUTPUTS: dict[str, Callable[[float], Any]] = {
    "dict": lambda loss: {"loss": torch.tensor(loss)},
    "list": lambda loss: [{"loss": torch.tensor(loss)}, {"loss": torch.tensor(loss)}],
}
each_output = pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS.keys())


def engine(output: Callable[[float], Any]) -> Engine:
    """An engine whose loss is its batch."""
    return Engine(lambda trainer, batch: output(batch))


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("output", "loss"),
    [
        ({"loss": torch.tensor(0.25)}, 0.25),
        ([{"loss": torch.tensor(0.25)}], 0.25),
        ([{"loss": torch.tensor(loss)} for loss in (0.5, 0.5, 0.5)], 0.5),
        ([{"loss": 0.5}, {"loss": 0.5}], 0.5),
    ],
)
def test_the_loss_of_an_output(output: Any, loss: float) -> None:
    assert mean_loss(output) == loss


@each_output
def test_two_runs_of_an_engine_fill_one_bar(output: Callable[[float], Any], capsys: pytest.CaptureFixture[str]) -> None:
    trainer, progress = engine(output), Progress("coarse", runs=2)
    progress.attach(trainer)
    trainer.run([0.5, 0.25, 0.75], max_epochs=2)
    bar = progress.bar
    assert (bar.n, bar.total, bar.disable) == (6, 12, False)
    trainer.run([0.5, 0.25, 0.75], max_epochs=2)
    assert progress.bar is bar
    assert (bar.n, bar.total, bar.disable) == (12, 12, True)  # tqdm disables a bar that is closed
    shown = capsys.readouterr().err
    assert "coarse: 12 of 12 steps" in shown
    assert "\r" not in shown


@each_output
def test_the_bar_shows_the_loss_of_the_epoch(
    output: Callable[[float], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = engine(output)
    Progress("train", unit="batch").attach(trainer)
    trainer.run([0.5, 0.125], max_epochs=1)
    shown = capsys.readouterr().err
    assert "loss 0.125" in shown
    assert "batch" in shown


def test_an_engine_without_a_loss_has_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    evaluator = Engine(lambda engine, batch: batch)
    Progress("inference", unit="scan", show_loss=False).attach(evaluator)
    evaluator.run([1, 2, 3])
    shown = capsys.readouterr().err
    assert "3 of 3 scans" in shown
    assert "loss" not in shown


@each_output
def test_the_curve_holds_the_mean_loss_of_each_epoch(tmp_path: Path, output: Callable[[float], Any]) -> None:
    path, trainer = tmp_path / "curves" / "train.csv", engine(output)
    LossCurve(str(path), "train").attach(trainer)
    trainer.run([1.0, 2.0, 4.5, 0.25, 0.5, 0.0], max_epochs=2, epoch_length=3)
    assert rows(path) == [
        ["stage", "run", "epoch", "loss"],
        ["train", "1", "1", "2.500000"],
        ["train", "1", "2", "0.250000"],
    ]


def test_runs_of_one_engine_follow_each_other_in_the_curve(tmp_path: Path) -> None:
    path, trainer = tmp_path / "coarse.csv", engine(OUTPUTS["dict"])
    LossCurve(str(path), "coarse").attach(trainer)
    for losses in ([1.0, 2.0], [3.0, 5.0]):
        trainer.run(losses, max_epochs=2)
    assert rows(path)[1:] == [
        ["coarse", "1", "1", "1.500000"],
        ["coarse", "1", "2", "1.500000"],
        ["coarse", "2", "1", "4.000000"],
        ["coarse", "2", "2", "4.000000"],
    ]


def test_metrics_of_an_epoch_follow_its_loss(tmp_path: Path) -> None:
    path, trainer, epochs = tmp_path / "pretrain.csv", engine(OUTPUTS["dict"]), []

    def metrics() -> dict[str, float]:
        return {"share": len(epochs) / 4, "count": 10.0 * len(epochs)}

    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda trainer: epochs.append(trainer.state.epoch))
    LossCurve(str(path), "pretrain", metrics).attach(trainer)
    seen = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda trainer: seen.append(dict(trainer.state.metrics)))
    trainer.run([1.0, 2.0], max_epochs=2)
    trainer.run([3.0, 4.0], max_epochs=2)
    assert rows(path) == [
        ["stage", "run", "epoch", "loss", "share", "count"],
        ["pretrain", "1", "1", "1.500000", "0.250000", "10.000000"],
        ["pretrain", "1", "2", "1.500000", "0.500000", "20.000000"],
        ["pretrain", "2", "1", "3.500000", "0.750000", "30.000000"],
        ["pretrain", "2", "2", "3.500000", "1.000000", "40.000000"],
    ]
    assert seen == [{"share": number / 4, "count": 10 * number} for number in (1, 2, 3, 4)]


def test_metrics_of_the_curve_leave_other_metrics_alone(tmp_path: Path) -> None:
    trainer = engine(OUTPUTS["dict"])
    LossCurve(str(tmp_path / "one.csv"), "one", lambda: {"share": 0.5}).attach(trainer)
    LossCurve(str(tmp_path / "other.csv"), "other").attach(trainer)
    trainer.add_event_handler(Events.STARTED, lambda trainer: trainer.state.metrics.update(dice=0.75))
    trainer.run([1.0], max_epochs=1)
    assert trainer.state.metrics == {"dice": 0.75, "share": 0.5}
    assert rows(tmp_path / "other.csv") == [["stage", "run", "epoch", "loss"], ["other", "1", "1", "1.000000"]]


def test_a_new_run_overwrites_the_curve(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    for loss in (1.0, 2.0):
        trainer = engine(OUTPUTS["dict"])
        LossCurve(str(path), "train").attach(trainer)
        trainer.run([loss], max_epochs=1)
    assert rows(path) == [["stage", "run", "epoch", "loss"], ["train", "1", "1", "2.000000"]]


def test_the_curve_of_a_trainer_is_the_mean_of_what_its_loss_function_gave(tmp_path: Path) -> None:
    given = []

    def loss_function(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.mse_loss(prediction, label)
        given.append(loss.item())
        return loss

    torch.manual_seed(0)
    batches = [{"image": torch.randn(3, 2), "label": torch.randn(3, 1)} for _ in range(4)]
    network = nn.Linear(2, 1)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=loss_function,
        train_handlers=[LossCurve(str(tmp_path / "train.csv"), "train")],
        decollate=False,
    )
    trainer.run()
    found = [float(row[3]) for row in rows(tmp_path / "train.csv")[1:]]
    assert found == pytest.approx([sum(given[:4]) / 4, sum(given[4:]) / 4], abs=1e-6)
    assert found[0] != pytest.approx(found[1])


@pytest.mark.parametrize("title", ["with progress", "with a curve"])
def test_exceptions_of_a_step_are_raised(tmp_path: Path, title: str) -> None:
    def step(trainer: Engine, batch: int) -> Any:
        raise ArithmeticError(f"no loss at step {trainer.state.iteration}")

    trainer, progress = Engine(step), Progress(title)
    handler = progress if title == "with progress" else LossCurve(str(tmp_path / "train.csv"), "train")
    handler.attach(trainer)
    with pytest.raises(ArithmeticError, match="no loss at step 1"):
        trainer.run([1, 2], max_epochs=1)
    assert progress.bar is None or progress.bar.disable


# losses that are no numbers


@each_output
@pytest.mark.parametrize("what", [float("nan"), float("inf"), -float("inf")])
def test_a_nan_loss_ends_the_run_and_its_step_is_named(
    tmp_path: Path, output: Callable[[float], Any], what: float
) -> None:
    path, trainer, after = tmp_path / "train.csv", engine(output), []
    LossCurve(str(path), "train").attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda trainer: after.append(trainer.state.epoch))
    with pytest.raises(SemclError, match=r"(?s)failed in epoch 2, step 3\n.*NaN or infinite.*learning_rate.*kept"):
        trainer.run([1.0, 2.0, 3.0, 4.0, 1.0, 2.0, what, 4.0], max_epochs=3, epoch_length=4)
    assert rows(path) == [["stage", "run", "epoch", "loss"], ["train", "1", "1", "2.500000"]]
    assert after == [1]  # a checkpoint would not have been written


def test_a_nan_loss_in_a_later_round_is_named_with_its_round(tmp_path: Path) -> None:
    trainer = resuming(epoch=0, number=2)
    LossCurve(str(tmp_path / "coarse.csv"), "coarse").attach(trainer)
    with pytest.raises(SemclError, match="failed in epoch 1, step 1, round 3"):
        trainer.run([float("nan"), 1.0], max_epochs=1)


# resumed


def resuming(epoch: int, number: int | None = None) -> Engine:
    """An engine of two steps per epoch that resumes after an epoch, optionally in a round."""
    trainer = engine(OUTPUTS["dict"])

    def start(trainer: Engine) -> None:
        trainer.state.epoch, trainer.state.iteration = epoch, 2 * epoch
        if number is not None:
            trainer.state.round = number

    trainer.add_event_handler(Events.STARTED, start)
    return trainer


def curve_of(path: Path, epochs: int) -> str:
    trainer = engine(OUTPUTS["dict"])
    LossCurve(str(path), "train").attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=epochs)
    return path.read_text()


@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_resumed_curve_continues_after_its_epoch(tmp_path: Path, before: int) -> None:
    path = tmp_path / "train.csv"
    curve_of(path, before)
    trainer = resuming(epoch=1)
    LossCurve(str(path), "train").attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=3)
    assert path.read_text() == curve_of(tmp_path / "whole.csv", 3)


def test_a_resumed_curve_keeps_earlier_rounds(tmp_path: Path) -> None:
    path = tmp_path / "coarse.csv"
    path.write_text("stage,run,epoch,loss\ncoarse,1,1,9.0\ncoarse,1,2,8.0\ncoarse,2,1,7.0\ncoarse,2,2,6.0\n")
    trainer = resuming(epoch=1, number=1)
    LossCurve(str(path), "coarse").attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=2)
    assert rows(path)[1:] == [
        ["coarse", "1", "1", "9.0"],
        ["coarse", "1", "2", "8.0"],
        ["coarse", "2", "1", "7.0"],
        ["coarse", "2", "2", "1.500000"],
    ]


def test_a_restarted_run_restarts_its_curve(tmp_path: Path) -> None:
    first = curve_of(tmp_path / "train.csv", 3)
    assert curve_of(tmp_path / "train.csv", 2) != first
    assert len(rows(tmp_path / "train.csv")) == 3


def test_a_curve_is_whole_after_each_epoch(tmp_path: Path) -> None:
    path, seen, trainer = tmp_path / "train.csv", [], engine(OUTPUTS["dict"])
    LossCurve(str(path), "train").attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda trainer: seen.append(len(rows(path))))
    trainer.run([1.0, 2.0], max_epochs=3)
    assert seen == [2, 3, 4]
    assert [file.name for file in visible(tmp_path)] == ["train.csv"]


def test_the_bar_of_a_resumed_run_begins_where_it_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    trainer, progress = resuming(epoch=2), Progress("train")
    progress.attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=3)
    assert (progress.bar.initial, progress.bar.n, progress.bar.total) == (4, 6, 6)
    assert progress.bar.disable


def test_the_bar_of_a_run_resumed_in_a_later_round_ends_at_its_total(capsys: pytest.CaptureFixture[str]) -> None:
    trainer, progress = resuming(epoch=1, number=1), Progress("coarse", runs=2)
    progress.attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=3)
    assert (progress.bar.initial, progress.bar.n, progress.bar.total) == (8, 12, 12)
    assert progress.bar.disable


def validated(path: Path, epochs: list[int], resume: bool = False) -> list[list[str]]:
    """The curve after validations, each of which measures a hundredth of its epoch."""
    evaluator = Engine(lambda evaluator, batch: None)
    ValidationCurve(str(path), resume).attach(evaluator)

    @evaluator.on(Events.EPOCH_COMPLETED)
    def measure() -> None:
        evaluator.state.metrics["val_mean_dice"] = evaluator.state.epoch / 100

    for epoch in epochs:
        evaluator.state.epoch = epoch - 1  # as MONAI's evaluators count
        evaluator.run([0], max_epochs=epoch)
    return rows(path)


def test_each_validation_is_a_row(tmp_path: Path) -> None:
    found = validated(tmp_path / "train_validation.csv", [5, 10])
    assert found == [["epoch", "val_mean_dice"], ["5", "0.050000"], ["10", "0.100000"]]
    assert validated(tmp_path / "train_validation.csv", [2])[1:] == [["2", "0.020000"]]  # another run


def test_a_resumed_run_keeps_the_validations_before_it(tmp_path: Path) -> None:
    validated(tmp_path / "train_validation.csv", [5, 10, 15])
    found = validated(tmp_path / "train_validation.csv", [10], resume=True)
    assert [row[0] for row in found[1:]] == ["5", "10"]


def test_each_training_round_has_a_column_of_its_own(tmp_path: Path) -> None:
    evaluator, names = Engine(lambda evaluator, batch: None), ["_fold0", "_fold1"]
    ValidationCurve(str(tmp_path / "coarse_validation.csv"), suffix=lambda: names[0]).attach(evaluator)
    evaluator.state.metrics["val_mean_dice"] = 0.5
    for _ in [*names]:
        for epoch in (6, 12):
            evaluator.state.epoch = epoch - 1
            evaluator.run([0], max_epochs=epoch)
        names.pop(0)
    assert rows(tmp_path / "coarse_validation.csv") == [
        ["epoch", "val_mean_dice_fold0", "val_mean_dice_fold1"],
        *(["6", "0.500000", "0.500000"], ["12", "0.500000", "0.500000"]),
    ]


def test_a_file_that_is_called_like_a_validation_curve_stays(tmp_path: Path) -> None:
    mine = tmp_path / "train_validation.csv"
    mine.write_text("mine")
    with pytest.raises(SemclError, match=r"train_validation\.csv"):
        curve_of(tmp_path / "train.csv", 1)
    assert mine.read_text() == "mine"
