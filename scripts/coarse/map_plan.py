"""How the attention map of each case is made: by which network, from its label map, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cohort.case import Case
from ..cohort.provenance import CROSS_FITTED, LABELLED_MAPS, SIMULATED
from ..errors import one_of

WAYS = (CROSS_FITTED, SIMULATED, "none")  # of making the maps of labelled cases


class MapPlan:
    """Sorts the cases of a cohort by how their maps are made.

    Cases that are not learnt from, for want of a label map or since they are tested, are segmented by the network of
    all labelled cases, as at inference. Those that it learns from are segmented by the network that has not seen their
    fold, or have maps that are simulated, or none.

    Args:
        cases: all cases, without label maps that are not learnt from.
        way: of making the maps of those that are learnt from: "cross-fitted", "simulated" or "none".

    Raises:
        SemclError: for another way.
    """

    def __init__(self, cases: Sequence[Case], way: str) -> None:
        one_of(LABELLED_MAPS, way, WAYS)
        self.cases, self.way = list(cases), way

    @staticmethod
    def learns(case: Case) -> bool:
        """Whether the coarse network learns from a case."""
        return case.label is not None and case.fold is not None

    def fold(self, case: Case) -> int | None:
        """The fold without which the network was trained that segments a case; None: the one of all labelled cases."""
        return case.fold if self.way == CROSS_FITTED and self.learns(case) else None

    @property
    def rounds(self) -> list[int | None]:
        """The folds that networks are trained without, in order, and last None for the network of all of them."""
        return [*sorted({fold for case in self.cases if (fold := self.fold(case)) is not None}), None]

    @property
    def predicted(self) -> dict[int | None, list[Case]]:
        """The cases that networks segment: those of each round, without rounds that have none."""
        found = {fold: [case for case in self.cases if self._is_predicted(case, fold)] for fold in self.rounds}
        return {fold: cases for fold, cases in found.items() if cases}

    @property
    def simulated(self) -> list[Case]:
        """The cases whose maps are their label maps with errors."""
        return [case for case in self.cases if self.way == SIMULATED and self.learns(case)]

    @property
    def without(self) -> list[Case]:
        """The cases that get no map."""
        return [case for case in self.cases if self.way not in (CROSS_FITTED, SIMULATED) and self.learns(case)]

    @property
    def made(self) -> list[Case]:
        """The cases that get a map."""
        without = {case.id for case in self.without}
        return [case for case in self.cases if case.id not in without]

    def _is_predicted(self, case: Case, fold: int | None) -> bool:
        return (self.way == CROSS_FITTED or not self.learns(case)) and self.fold(case) == fold


def weights_path(ckpt_dir: str | Path, fold: int | None) -> Path:
    """Path of the coarse network's weights trained without ``fold``; None: on all training cases."""
    return Path(ckpt_dir) / ("coarse.pt" if fold is None else f"coarse_fold{fold}.pt")


def best_weights(ckpt_dir: str, fold: int | None) -> str:
    """Path of the weights with which validation was best: coarse_fold<n>_best.pt, coarse_best.pt."""
    last = weights_path(ckpt_dir, fold)
    return str(last.with_name(f"{last.stem}_best.pt"))
