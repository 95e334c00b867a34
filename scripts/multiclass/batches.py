"""The order of training: batches of labelled cases, of pseudo-labelled ones, and of those without labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from .. import ranks
from ..errors import SemclError


class Batches(Sampler[list[int]]):
    """Batches of an epoch: shuffled passes over the first cases, and as many of those that follow as asked for.

    The order depends on the seed and the epoch alone. With several ranks, each takes its part of every batch.

    Args:
        first: number of cases that come first, the labelled ones.
        batch_size: of them per batch, over all ranks.
        batches: per epoch.
        seed: of the order.
        others: number of cases that follow them.
        others_per_batch: of those per batch, over all ranks.
        pseudo: how many of the first, the last of them, have pseudo-labels.
        pseudo_share: of ``batch_size``, that these make up: many of them do not outweigh a few label maps.

    Attributes:
        epoch: number of the next epoch.

    Raises:
        SemclError: when there is no case, ranks cannot share a batch, or it cannot hold cases of both kinds.
    """

    def __init__(
        self,
        first: int,
        batch_size: int,
        batches: int,
        seed: int = 0,
        others: int = 0,
        others_per_batch: int = 0,
        pseudo: int = 0,
        pseudo_share: float = 0.5,
    ) -> None:
        if first < 1 or (others_per_batch and others < 1):
            raise SemclError(
                "a batch must hold something",
                found=f"{first} and {others} cases",
                expected="at least 1 each",
                remedy="check the datalist",
            )
        taught = round(batch_size * pseudo_share) if pseudo else 0
        if pseudo and not (0 < taught < batch_size and pseudo < first):
            raise SemclError(
                "a batch must hold labelled and pseudo-labelled scans",
                found=f"batch_size {batch_size}, pseudo_share {pseudo_share}, {first - pseudo} and {pseudo} scans",
                expected="at least 1 each",
                remedy="raise batch_size, or set pseudo_share to 0.5",
            )
        labelled = first - pseudo
        self.parts = [(0, labelled, batch_size - taught), (first, others, others_per_batch), (labelled, pseudo, taught)]
        self.batches, self.seed, self.epoch = batches, seed, 0
        ranks.share(batch_size, "batch_size")
        ranks.share(others_per_batch, "unlabelled_per_batch")

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        labelled, others, pseudo = (self._order(part, *numbers) for part, numbers in enumerate(self.parts))
        self.epoch += 1
        for first, last in zip(np.concatenate([labelled, pseudo], 1), others, strict=True):
            yield [*ranks.own(first).tolist(), *ranks.own(last).tolist()]

    def _order(self, part: int, start: int, count: int, each: int) -> np.ndarray:
        """The cases (batches, each) of an epoch."""
        rng = np.random.default_rng([self.seed, part, self.epoch])
        passes = -(-self.batches * each // max(1, count))
        order = np.concatenate([np.zeros(0, np.int64), *(rng.permutation(count) for _ in range(passes))])
        return start + order[: self.batches * each].reshape(self.batches, each)
