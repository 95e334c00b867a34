"""Training without each half of the patients, whose queries then calibrate: for cohorts too small to hold any out."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer

from ..cohort.case import Case
from ..queries.sampler import ClusterSampler
from ..queries.views import Views


class Halves:
    """Handler of the training, after those that load weights: keeps what it starts from, to start from it again.

    A network that has not seen a patient is as unsure of its queries as of a new patient's. Two of them, trained for
    half as many epochs on half of the patients each, cost as much as the training itself.

    Args:
        trainer: of a half, with the parts, the sampler and the views of the training, and handlers of its own.
        parts: what training changes, by name, the network as "network"; each has state_dict and load_state_dict.
        sampler: of the queries that are learnt from.
        views: of those queries.
        learnt: cases of the sampler's queries.
        checked: cases of the queries that calibrate, all of them among ``learnt``.
        max_epochs: of the whole training; one that is run in rounds, as in federated learning, is due after the last.
        seed: of views and order.
    """

    def __init__(
        self,
        trainer: SupervisedTrainer,
        parts: Mapping[str, Any],
        sampler: ClusterSampler,
        views: Views,
        learnt: Sequence[Case],
        checked: Sequence[Case],
        max_epochs: int,
        seed: int = 0,
    ) -> None:
        self.trainer, self.parts, self.sampler, self.views, self.seed = trainer, dict(parts), sampler, views, seed
        self.learnt, self.checked = ([case.patient for case in cases] for cases in (learnt, checked))
        self.max_epochs, self.first = max_epochs, dict[str, Any]()

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self.keep)

    def keep(self, engine: Engine | None = None) -> None:
        """Keep the state that training starts from, once: later rounds start from what has seen all patients."""
        self.first = self.first or self._state()

    def due(self, engine: Engine) -> bool:
        """Whether the training has been run to its last epoch, or was to be when it stopped early."""
        return engine.state.max_epochs == self.max_epochs

    @contextmanager
    def after_training(self) -> Iterator[None]:
        """Give the parts the state back that they came with."""
        trained = self._state()
        try:
            yield
        finally:
            self._load(trained)
            self.sampler.hold_out([])

    def train_without(self, patients: Collection[int], half: int) -> None:
        """Train from the start without some patients.

        Args:
            patients: their numbers, in the order of the names of the checked cases' patients.
            half: 0 or 1, for the seed.
        """
        names = sorted(set(self.checked))
        held_out = {names[number] for number in patients}
        self._load(self.first)
        self.sampler.hold_out([number for number, name in enumerate(sorted(set(self.learnt))) if name in held_out])
        self.sampler.epoch = 0
        seed = self.seed + 1 + half
        self.views.set_random_state(seed)
        torch.manual_seed(seed)
        self.trainer.state.epoch = self.trainer.state.iteration = 0
        self.trainer.run()

    def _state(self) -> dict[str, Any]:
        return {name: copy.deepcopy(part.state_dict()) for name, part in self.parts.items()}

    def _load(self, state: Mapping[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(copy.deepcopy(state[name]))
