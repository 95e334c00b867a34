"""Training that stops when validation no longer improves."""

from ignite.engine import Engine, Events

from scripts.job.early_stop import StopEarly


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
