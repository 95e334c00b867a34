"""Exact resume: the state of training is written after each epoch, and each epoch has random seeds of its own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Randomizable
from torch import nn

from .. import ranks
from ..errors import SemclError
from ..finite import not_finite, training_failed
from .job import Job
from .longer import fitted_to_length, is_longer, refit


class Checkpoint:
    """Handler: write a checkpoint after each epoch, and start from it where the job resumes.

    Random generators need no state: each epoch starts by seeding every generator from (seed, round, epoch). A run that
    was killed repeats the epoch it was in and ends with the weights it would have had, bit for bit on a CPU. Of several
    ranks the first writes and all read, so that a run may go on with another number of them, and with more epochs.

    Args:
        job: the run.
        parts: what training changes, by name; each has state_dict and load_state_dict, or is None. Where the number of
            epochs grows and the schedule depends on it, "scheduler" and "optimizer" are fitted to it, and "patience"
            begins anew.
        sampler: of the loader; its ``epoch`` is set.
        draws: random transforms of the main process, for the batch of all ranks.
        own_draws: random transforms of this rank's samples alone. Loader processes draw other numbers for them, so a
            run goes on with as many of these as it was begun with.

    Raises:
        SemclError: when it resumes with another number of loader processes, and they draw.
    """

    def __init__(
        self,
        job: Job,
        parts: Mapping[str, Any],
        sampler: Any,
        draws: Sequence[Randomizable] = (),
        own_draws: Sequence[Randomizable] = (),
    ) -> None:
        self.job, self.sampler = job, sampler
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.draws, self.own_draws = list(draws), list(own_draws)
        self.round = 0  # of a stage that runs its trainer several times
        self.state: dict[str, Any] | None = None
        self.listening = False

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_STARTED, self.seed)

    def resumed_round(self) -> int:
        """Return the round to go on with: 0, or that of the checkpoint where the job resumes."""
        self.state = self.job.load() if self.job.resume else None
        return 0 if self.state is None else int(self.state["round"])

    def start(self, engine: Engine) -> None:
        """Load the checkpoint, once."""
        if not self.listening:  # only now, to come after all other handlers
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
            self.listening = True
            if self.job.resume and self.state is None:
                self.resumed_round()
        engine.state.round = self.round  # type: ignore[attr-defined]  # a state takes any attribute
        if self.state is None:
            return
        self._refuse_other_workers(engine)
        parts, states = self._all(engine), self.state["parts"]
        if is_longer(self.state["config"], self.job.config) and fitted_to_length(self.job.config):
            refit(parts.pop("scheduler"), parts.pop("optimizer"), states)
            parts.pop("patience", None)
        if not states.get("scaler"):  # begun where gradients need no scaling, as on a CPU
            parts.pop("scaler", None)
        for name, part in parts.items():
            part.load_state_dict(states[name])
        engine.state.epoch, engine.state.iteration = self.state["epoch"], self.state["iteration"]
        self.state = None

    def _refuse_other_workers(self, engine: Engine) -> None:
        begun, now = (self.state or {}).get("num_workers"), _workers(engine)
        if self.own_draws and begun not in (None, now):
            raise SemclError(
                "a run cannot go on with another number of loader processes: its augmentation is drawn in them",
                found=f"num_workers {now}, begun with {begun}",
                expected="the same",
                remedy=f"resume with --num_workers {begun}",
            )

    def seed(self, engine: Engine) -> None:
        """Give every generator this epoch's seed."""
        epoch = int(engine.state.epoch)
        words = [self.job.seed, self.round, epoch]
        apart = [*words, ranks.number()] if ranks.number() else words
        number, *numbers = self._numbers(apart)
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)  # of all devices
        shared = self._numbers(words)[1 : 1 + len(self.draws)]
        for draws, own in zip(self.draws + self.own_draws, shared + numbers[len(self.draws) :], strict=True):
            draws.set_random_state(seed=own)
        self.sampler.epoch = epoch - 1

    def _numbers(self, words: Sequence[int]) -> list[int]:
        """Return a seed for the generators of all libraries, then one for each random transform."""
        entropy = np.random.SeedSequence(words).generate_state(1 + len(self.draws) + len(self.own_draws))
        return [int(word) for word in entropy]

    def save(self, engine: Engine) -> None:
        """Write the state between two epochs.

        Raises:
            SemclError: on every rank, for weights that are not finite; the last checkpoint stays.
        """
        state = {name: part.state_dict() for name, part in self._all(engine).items()}
        modules = [name for name, part in self.parts.items() if isinstance(part, nn.Module)]
        broken = [f"{name}.{entry}" for name in modules for entry in not_finite(state[name])]
        if broken:
            raise training_failed(engine, f"NaN or infinity in {len(broken)} weights after it, first {broken[0]}")
        if ranks.number():
            return
        counters = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        self.job.save({"round": self.round, **counters, "num_workers": _workers(engine), "parts": state})

    def _all(self, engine: Engine) -> dict[str, Any]:
        scaler = getattr(engine, "scaler", None)
        return dict(self.parts) if scaler is None else {**self.parts, "scaler": scaler}


def _workers(engine: Engine) -> int:
    """Loader processes of an engine's data."""
    return int(getattr(engine.state.dataloader, "num_workers", 0))
