"""Exact resume: a trainer interrupted at any step and resumed ends with the weights of an uninterrupted one."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.transforms import Randomizable
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from scripts import ranks
from scripts.errors import SemclError
from scripts.job.checkpoint import Checkpoint
from scripts.job.job import Job
from scripts.job.progress import LossCurve

STEPS, EPOCHS = 4, 3


class Numbers(Dataset[dict[str, torch.Tensor]]):
    """Samples with the value of their index, plus noise from every random generator."""

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        value = index + torch.rand(1) + np.random.rand() + random.random()
        return {"image": value.float().expand(4).clone(), "label": torch.ones(1)}

    def __len__(self) -> int:
        return 8


class Order(Sampler[int]):
    """An order that the epoch decides alone."""

    epoch = 0

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng(self.epoch).permutation(8).tolist()
        self.epoch += 1
        return iter(order)

    def __len__(self) -> int:
        return 8


class Noise(Randomizable):
    """Draws in the main process."""

    def __call__(self, batch: dict[str, Any], *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        image = batch["image"]
        return image + torch.from_numpy(self.R.normal(size=image.shape)).float(), batch["label"]


class Cut(Exception):
    """The end of a run."""


class Training:
    """A small stage that trains: a network that drops at random, momentum, and a schedule, of its length or none."""

    def __init__(
        self, folder: Path, resume: bool = False, amp: bool = False, epochs: int = EPOCHS, fitted: bool = True
    ) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        of_length = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.1, total_steps=STEPS * epochs)
        self.scheduler: Any = of_length if fitted else torch.optim.lr_scheduler.StepLR(self.optimizer, STEPS)
        self.noise, self.order = Noise(), Order()
        self.job = Job("train", "bundle", str(folder), {}, seed=3, resume=resume)
        self.job.config = {"max_epochs": epochs} | ({"scheduler#total_steps": "$4 * @max_epochs"} if fitted else {})
        self.parts = {"network": self.network, "optimizer": self.optimizer, "scheduler": self.scheduler}
        self.checkpoint = Checkpoint(self.job, self.parts, self.order, [self.noise])
        curve = LossCurve(str(folder / "curve.csv"), "train")
        self.curve = curve.path
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=DataLoader(Numbers(), batch_size=2, sampler=self.order),
            network=self.network,
            optimizer=self.optimizer,
            loss_function=nn.MSELoss(),
            inferer=SimpleInferer(),
            prepare_batch=self.noise,
            train_handlers=[self.checkpoint, curve],
            decollate=False,
            amp=amp,
        )
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: self.scheduler.step())

    def cut(self, step: int, event: Any = Events.ITERATION_COMPLETED) -> None:
        """Run up to a step and no further."""

        def stop(engine: Engine) -> None:
            if engine.state.iteration == step:
                raise Cut

        self.trainer.add_event_handler(event, stop)
        with pytest.raises(Cut):
            self.trainer.run()

    def state(self) -> list[torch.Tensor]:
        momenta = [part["momentum_buffer"] for part in self.optimizer.state_dict()["state"].values()]
        return [*self.network.state_dict().values(), *momenta]


def stir() -> None:
    """Leave every generator somewhere else."""
    random.seed()
    np.random.seed()
    torch.seed()


def same(first: Training, second: Training) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first.state(), second.state(), strict=True))


@pytest.fixture
def whole(tmp_path: Path) -> Training:
    training = Training(tmp_path / "whole")
    training.trainer.run()
    return training


@pytest.mark.parametrize(
    ("step", "event"),
    [(5, Events.ITERATION_STARTED), (10, Events.ITERATION_STARTED)]
    + [(step, Events.ITERATION_COMPLETED) for step in range(STEPS + 1, STEPS * EPOCHS + 1)],
    ids=str,
)
def test_a_run_interrupted_at_any_step_ends_like_an_uninterrupted_one(
    step: int, event: Any, whole: Training, tmp_path: Path
) -> None:
    Training(tmp_path / "cut").cut(step, event)
    stir()
    resumed = Training(tmp_path / "cut", resume=True)
    resumed.trainer.run()
    assert same(resumed, whole)
    assert resumed.curve.read_text() == whole.curve.read_text()
    assert resumed.scheduler.state_dict() == whole.scheduler.state_dict()
    assert resumed.trainer.state.iteration == STEPS * EPOCHS


def test_another_seed_gives_other_weights(whole: Training, tmp_path: Path) -> None:
    other = Training(tmp_path / "other")
    other.job.seed = 4
    other.trainer.run()
    assert not same(other, whole)


def test_a_run_does_not_depend_on_earlier_random_numbers(whole: Training, tmp_path: Path) -> None:
    again = Training(tmp_path / "again")
    stir()
    again.noise.set_random_state(seed=99)
    again.order.epoch = 7
    again.trainer.run()
    assert same(again, whole)


def test_epochs_and_rounds_have_their_own_seeds(tmp_path: Path) -> None:
    training, sampled = Training(tmp_path), set()
    for number in range(3):
        training.checkpoint.round = number
        for epoch in range(4):
            training.trainer.state.epoch = epoch
            training.checkpoint.seed(training.trainer)
            sampled |= {random.random(), np.random.rand(), torch.rand(1).item(), training.noise.R.rand()}
    assert len(sampled) == 3 * 4 * 4


def test_shared_random_numbers_are_equal_on_all_ranks_and_own_ones_differ(tmp_path, monkeypatch):
    training, sampled = Training(tmp_path), []
    own = Noise()
    training.checkpoint.own_draws.append(own)
    for number in range(3):
        monkeypatch.setattr(ranks, "number", lambda number=number: number)
        training.checkpoint.seed(training.trainer)
        sampled.append((training.noise.R.rand(), own.R.rand(), torch.rand(1).item(), np.random.rand(), random.random()))
    counts = [len(set(of_ranks)) for of_ranks in zip(*sampled, strict=True)]
    assert counts == [1, 3, 3, 3, 3]


def test_the_checkpoint_of_an_epoch_is_written_after_all_other_handlers(tmp_path: Path) -> None:
    training, heard = Training(tmp_path), []
    later = Events.EPOCH_COMPLETED
    training.trainer.add_event_handler(later, lambda engine: heard.append(training.job.checkpoint.exists()))
    training.cut(STEPS + 1)
    assert heard == [False]
    assert training.job.checkpoint.exists()


def test_a_run_that_is_done_but_not_finished_is_resumed_without_a_step(whole: Training, tmp_path: Path) -> None:
    Training(tmp_path / "done").trainer.run()
    resumed, steps, ends = Training(tmp_path / "done", resume=True), [], []
    resumed.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: steps.append(engine.state.iteration))
    resumed.trainer.add_event_handler(Events.COMPLETED, lambda engine: ends.append(engine.state.epoch))
    resumed.trainer.run()
    assert (steps, ends) == ([], [EPOCHS])
    assert same(resumed, whole)
    assert resumed.curve.read_text() == whole.curve.read_text()


def test_a_checkpoint_is_loaded_only_by_a_job_that_resumes(whole: Training, tmp_path: Path) -> None:
    Training(tmp_path / "cut").cut(STEPS + 1)
    anew = Training(tmp_path / "cut")
    anew.trainer.run()
    assert same(anew, whole)


def test_a_job_that_resumes_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SemclError, match="nothing to resume"):
        Training(tmp_path, resume=True).trainer.run()


# rounds


def run_rounds(training: Training, first: int, cut: int | None = None) -> list[list[torch.Tensor]]:
    """Three runs of a trainer, each from the same start, as the coarse stage does; what each ends with."""
    fresh = Training(training.job.checkpoint.parent / "fresh").parts
    ends, steps = [], []

    def stop(engine: Engine) -> None:
        steps.append(1)
        if len(steps) == cut:
            raise Cut

    training.trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    for number in range(first, 3):
        for name, part in training.parts.items():
            part.load_state_dict(fresh[name].state_dict())
        training.checkpoint.round = number
        training.trainer.run()
        ends.append([value.clone() for value in training.state()])
    return ends


@pytest.mark.parametrize(("step", "first"), [(5, 0), (14, 0), (24, 1), (30, 2)])
def test_a_run_of_several_rounds_resumes_in_its_round(step: int, first: int, tmp_path: Path) -> None:
    ends = run_rounds(Training(tmp_path / "whole"), 0)
    with pytest.raises(Cut):
        run_rounds(Training(tmp_path / "cut"), 0, cut=step)
    resumed = Training(tmp_path / "cut", resume=True)
    assert resumed.checkpoint.resumed_round() == first
    for end, whole in zip(run_rounds(resumed, first), ends[first:], strict=True):
        assert all(torch.equal(one, other) for one, other in zip(end, whole, strict=True))
    assert resumed.curve.read_text() == (tmp_path / "whole" / "curve.csv").read_text()


def test_a_job_that_does_not_resume_begins_with_the_first_round(tmp_path: Path) -> None:
    assert Training(tmp_path).checkpoint.resumed_round() == 0


# mixed precision


def test_the_scale_of_mixed_precision_is_part_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scaler(*_: Any) -> Any:
        return torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=3)

    monkeypatch.setattr(torch.cuda.amp, "GradScaler", scaler)
    Training(tmp_path, amp=True).cut(STEPS + 1)
    state = torch.load(tmp_path / "jobs" / "train.checkpoint.pt", weights_only=True)
    assert state["parts"]["scaler"]["scale"] == 2.0**15
    resumed, scales = Training(tmp_path, resume=True, amp=True), []
    first = Events.ITERATION_STARTED(once=STEPS + 1)
    resumed.trainer.add_event_handler(first, lambda engine: scales.append(engine.scaler.get_scale()))
    resumed.trainer.run()
    assert scales == [2.0**15]


def test_a_run_begun_where_nothing_is_scaled_goes_on_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """float16 is float32 on a CPU, whose scaler has nothing to keep."""
    monkeypatch.setattr(torch.cuda.amp, "GradScaler", lambda *_: torch.amp.GradScaler("cpu", enabled=False))
    Training(tmp_path, amp=True).cut(STEPS + 1)
    monkeypatch.setattr(torch.cuda.amp, "GradScaler", lambda *_: torch.amp.GradScaler("cpu", init_scale=2.0**14))
    resumed = Training(tmp_path, resume=True, amp=True)
    resumed.trainer.run()
    assert resumed.trainer.scaler.get_scale() == 2.0**14


@pytest.mark.parametrize("where", ["weight", "running_var"])
def test_weights_that_are_not_finite_do_not_replace_the_checkpoint(tmp_path: Path, where: str) -> None:
    """Broken by the last step of an epoch, of which each loss was a number."""
    training = Training(tmp_path)

    def harm(engine: Engine) -> None:
        if engine.state.iteration == 2 * STEPS:
            getattr(training.network[1], where).data[0] = torch.nan

    training.trainer.add_event_handler(Events.ITERATION_COMPLETED, harm)
    with pytest.raises(SemclError, match=rf"(?s)failed in epoch 2\n.*1 weights after it, first network\.1\.{where}"):
        training.trainer.run()
    assert torch.load(training.job.checkpoint, weights_only=True)["epoch"] == 1


@pytest.mark.parametrize("drawn_there", [True, False])
def test_a_run_whose_augmentation_is_drawn_in_loader_processes_goes_on_with_as_many(
    drawn_there: bool, tmp_path: Path
) -> None:
    def training(resume: bool, workers: int) -> Training:
        made = Training(tmp_path, resume=resume)
        made.checkpoint.own_draws = [Noise()] if drawn_there else []
        made.trainer.state.dataloader = None
        loader = DataLoader(Numbers(), batch_size=2, sampler=made.order, num_workers=workers)
        made.trainer.data_loader = loader
        return made

    training(False, 0).cut(STEPS + 1)
    resumed = training(True, 1)
    if drawn_there:
        with pytest.raises(SemclError, match=r"(?s)num_workers 1, begun with 0.*resume with --num_workers 0"):
            resumed.trainer.run()
    else:
        resumed.trainer.run()
        assert resumed.trainer.state.epoch == EPOCHS
