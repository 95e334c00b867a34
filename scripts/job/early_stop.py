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
    """Handler of a trainer: MONAI's EarlyStopHandler on the key metric of its validation.

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
