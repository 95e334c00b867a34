"""Training that stops when validation no longer improves."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.engines import Evaluator
from monai.handlers import EarlyStopHandler


def key_metric(validator: Engine) -> float:
    """The key metric of an evaluator's last run."""
    state: Any = validator.state
    return float(state.metrics[state.key_metric_name])


class StopEarly(EarlyStopHandler):
    """Handler of a trainer: MONAI's EarlyStopHandler on the key metric of its validation, and a part of a checkpoint.

    A run that had stopped stops again where it is resumed, without another step.

    Args:
        patience: validations in a row without a better key metric after which training ends.
        validator: whose metric.
    """

    def __init__(self, patience: int, validator: Evaluator) -> None:
        super().__init__(patience, key_metric)
        self.validator = validator

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        self.set_trainer(engine)
        super().attach(self.validator)

    def state_dict(self) -> dict[str, Any]:
        """The best key metric so far, and the number of validations since."""
        counted: Any = self._handler
        return {"best": counted.best_score, "since": counted.counter}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a ``state_dict``."""
        counted: Any = self._handler
        counted.best_score, counted.counter = state["best"], state["since"]
        if counted.counter >= self.patience:
            counted.trainer.terminate()
