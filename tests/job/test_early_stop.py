"""Training that stops when validation no longer improves."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ignite.engine import Engine, Events

from scripts.job.checkpoint import Checkpoint
from scripts.job.early_stop import StopEarly
from scripts.job.job import Job
from tests.job.test_checkpoint import EPOCHS, Cut, Order, Training


def test_training_ends_after_validations_without_a_better_one():
    values = iter([0.5, 0.6, 0.6, 0.55, 0.9])
    trainer, validator = Engine(lambda trainer, batch: None), Engine(lambda validator, batch: None)
    validator.state.key_metric_name = "dice"
    validator.add_event_handler(Events.EPOCH_COMPLETED, lambda: validator.state.metrics.update(dice=next(values)))
    StopEarly(2, validator).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=3), lambda: validator.run([0], max_epochs=1))
    ended = []
    trainer.add_event_handler(Events.COMPLETED, lambda: ended.append(trainer.state.epoch))
    trainer.run([0], max_epochs=30)
    assert ended == [12], "the second validation after the best one"


class Stopping:
    """A trainer that validates after each epoch, gets worse from the second on, and has a patience of 3."""

    def __init__(self, folder: Path, resume: bool = False, epochs: int = 30) -> None:
        self.trainer, validator = Engine(lambda trainer, batch: None), Engine(lambda validator, batch: None)
        validator.state.key_metric_name = "dice"
        validator.add_event_handler(Events.EPOCH_COMPLETED, self.value)
        self.validator, self.ended, self.epochs = validator, list[int](), epochs
        job = Job("train", "bundle", str(folder), {}, seed=0, resume=resume)
        job.config = {"max_epochs": epochs}
        handler = StopEarly(3, validator)
        handler.attach(self.trainer)
        Checkpoint(job, {"patience": handler, "another": None}, Order()).attach(self.trainer)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: validator.run([0], max_epochs=1))

    def value(self) -> None:
        epoch = self.trainer.state.epoch
        self.validator.state.metrics["dice"] = 0.9 if epoch == 2 else 0.5 - epoch / 100

    def run(self, cut: int | None = None, event: Events = Events.EPOCH_STARTED) -> int:
        """Run to the end, or up to an epoch; the last epoch that was trained."""

        def stop(engine: Engine) -> None:
            if engine.state.epoch == cut:
                raise Cut

        self.trainer.add_event_handler(event, stop)
        self.trainer.run([0], max_epochs=self.epochs)
        return self.trainer.state.epoch


def test_a_resumed_run_stops_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    assert Stopping(tmp_path / "whole").run() == 5
    with pytest.raises(Cut):
        Stopping(tmp_path / "cut").run(4)
    assert Stopping(tmp_path / "cut", resume=True).run() == 5


def test_a_run_killed_after_it_had_stopped_does_not_train_on(tmp_path: Path) -> None:
    with pytest.raises(Cut):
        Stopping(tmp_path).run(5, Events.COMPLETED)  # as in the calibration
    resumed, steps, completed = Stopping(tmp_path, resume=True), [], []
    resumed.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: steps.append(1))
    resumed.trainer.add_event_handler(Events.COMPLETED, lambda: completed.append(1))
    assert resumed.run() == 5
    assert (steps, completed) == ([], [1])


def test_patience_begins_anew_with_a_schedule_that_is_refitted(tmp_path: Path) -> None:
    Training(tmp_path).trainer.run()
    for epochs, begun in ((EPOCHS, [5]), (EPOCHS + 1, [])):
        resumed, loaded = Training(tmp_path, resume=True, epochs=epochs), []
        counter = SimpleNamespace(state_dict=lambda: 5, load_state_dict=loaded.append)
        resumed.checkpoint.parts["patience"] = counter
        resumed.checkpoint.resumed_round()
        resumed.checkpoint.state["parts"]["patience"] = 5
        resumed.checkpoint.listening = True
        resumed.checkpoint.start(resumed.trainer)
        assert loaded == begun
