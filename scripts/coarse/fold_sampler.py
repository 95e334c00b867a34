"""The order of training cases while one fold is held out, and the cases that validate then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from .. import ranks
from ..errors import SemclError
from ..printable import counted


class FoldSampler(Sampler[int]):
    """Indices of an epoch: shuffled passes over the cases outside ``held_out``, cut to the same length for every fold.

    With several ranks, each takes its part of every batch.

    Args:
        folds: fold of each case.
        length: samples per epoch, over all ranks.
        seed: of the order, which does not depend on the number of loader workers.
    """

    def __init__(self, folds: Sequence[int | None], length: int, seed: int = 0) -> None:
        self.folds, self.length, self.seed = list(folds), length, seed
        self.held_out: int | None = None
        self.epoch = 0

    def hold_out(self, fold: int | None) -> None:
        """Leave a fold out from now on (None: use all cases), and restart the count of epochs.

        Raises:
            SemclError: when no case is left.
        """
        if fold is not None and set(self.folds) == {fold}:
            raise SemclError(
                "a fold holds every labelled training case",
                found=f"{counted(len(self.folds), 'case')}, all in fold {fold}",
                expected="label maps in at least two folds: each case's map comes from a network that has not seen it",
                remedy="label more patients, or prepare the cohort again with another --seed",
            )
        self.held_out, self.epoch = fold, 0

    def __len__(self) -> int:
        return len(ranks.own(range(self.length)))

    def __iter__(self) -> Iterator[int]:
        used = [index for index, fold in enumerate(self.folds) if self.held_out is None or fold != self.held_out]
        key = -1 if self.held_out is None else self.held_out
        rng = np.random.default_rng([self.seed, key + 1, self.epoch])
        self.epoch += 1
        passes = -(-self.length // len(used))
        order = np.concatenate([rng.permutation(used) for _ in range(passes)])
        return iter(ranks.own(order[: self.length]).tolist())


class HeldOutSampler(Sampler[int]):
    """Indices of the cases that a ``FoldSampler`` holds out, or of its cases while it holds none out; the first ones.

    Every rank gets all of them: they are few, and their mean is then the same everywhere.

    Args:
        training: the sampler.
        count: of cases, at most.
    """

    def __init__(self, training: FoldSampler, count: int) -> None:
        self.training, self.count = training, count

    def __len__(self) -> int:
        return len(self._indices())

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices())

    def _indices(self) -> list[int]:
        fold = self.training.held_out
        return [index for index, own in enumerate(self.training.folds) if fold in (None, own)][: self.count]
