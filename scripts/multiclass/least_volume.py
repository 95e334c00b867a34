"""Logits raised for organs that a network hardly finds in scans without label maps."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.networks import eval_mode
from numpy.typing import NDArray
from torch import nn

from .. import ranks
from ..bars import bar
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.volume import read, read_label
from ..errors import SemclError
from .inferer import SegmentInferer

HIGHEST = 5.0  # a logit is raised by no more: 148 times the odds
STEP = 1 / 16  # of what it may be raised by
STEPS = int(HIGHEST / STEP)
SAME_PART = 0.5  # share of the other organs that a scan shows if it is of the same part of the body
MOVED = 0.3  # error of logits that move by 1: they may be rounded to 8 bits


class LeastVolume:
    """Handler: when the run has completed, raise the logits of organs hardly found in scans without label maps.

    A network taught by few patients misses small organs in others, whose volumes differ less than that. Of every organ
    the scans are taken that show most of it: half as many as are expected to show it, from the share of the labelled
    scans that do. Where they have less of it in the mean than ``share`` of its median volume in labelled scans, the
    constant of its logit is raised until they do not, by ``HIGHEST`` at most, as if it were more frequent (arXiv
    2007.07314). Scans of other parts of the body change nothing: those in which the network finds less than half of the
    other organs do not count.

    Comes after what changes the final weights, and before what saves them.

    Args:
        module: the final network: (B, C, X, Y[, Z]) to logits (B, K + 1, X, Y[, Z]), on its device.
        labelled: cases whose label maps say what volumes are usual.
        unlabelled: cases without a label map; without any, nothing is changed.
        table: the label table.
        inferer: gives the logits of a whole volume.
        share: of the usual volume; 0 changes nothing.
        channels: C, channels of the images.
        device: of the network.
        fail: is told of a case that cannot be read; None: it is left out.

    Raises:
        SemclError: when attached, where no layer of the network has the constants of K + 1 logits.
    """

    def __init__(
        self,
        module: nn.Module,
        labelled: Sequence[Case],
        unlabelled: Sequence[Case],
        table: LabelTable,
        inferer: SegmentInferer,
        share: float = 0.0,
        channels: int = 1,
        device: torch.device | str = "cpu",
        fail: Callable[[str, object], None] | None = None,
    ) -> None:
        self.module, self.labelled, self.unlabelled, self.table = module, labelled, unlabelled, table
        self.inferer, self.share, self.channels, self.device = inferer, share, channels, device
        self.fail = fail

    def attach(self, engine: Engine) -> None:
        """Attach to the engine, if there is anything to do."""
        if self.share and self.unlabelled:
            side = self.inferer.grid.size
            self.logits = constants(self.module, torch.zeros(1, self.channels, *side, device=self.device))
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        usual = _of_all_ranks([self._labelled_volumes(case) for case in ranks.own(self.labelled)])
        own = ranks.own(self.unlabelled)
        shown = bar(own, total=len(own), title="volumes of organs", unit="case", hidden=ranks.number() > 0)
        with eval_mode(self.module), torch.no_grad():
            found = _of_all_ranks([volumes for case in shown for volumes in self._tried(case)])
        raised = raises(np.stack(usual), np.stack(found), self.share) if found else np.zeros(len(self.table))
        with torch.no_grad():
            self.logits[1:] += torch.from_numpy(raised).to(self.logits)
        if ranks.number() == 0 and raised.any():
            by = [f"{name} by {more:g}" for name, more in zip(self.table.names, raised, strict=True) if more]
            print(f"hardly found in scans without label maps, so their logits are raised: {', '.join(by)}")

    def _tried(self, case: Case) -> list[NDArray[np.float64]]:
        """What ``_found_volumes`` gives; of a case that cannot be read nothing, since the training is done."""
        try:
            return [self._found_volumes(case)]
        except SemclError as error:
            print(f"\nleft out of the volumes of organs: {case.id}", file=sys.stderr)
            if self.fail is not None:
                self.fail(case.id, error)
            return []

    def _labelled_volumes(self, case: Case) -> NDArray[np.float64]:
        """Volume (K,) of each organ in a label map, mm^3; NaN where it is not annotated."""
        scan = read(case.image, case.id, self.channels)
        counts = np.bincount(read_label(case, scan, self.table).ravel().clip(0), minlength=len(self.table) + 1)
        annotated = self.table.names if case.annotated is None else case.annotated
        known = [name in annotated for name in self.table.names]
        return np.where(known, counts[1:] * math.prod(scan.pixdim.tolist()), np.nan)

    def _found_volumes(self, case: Case) -> NDArray[np.float64]:
        """Volume (K, STEPS + 1) of each organ that would be found with its logit raised by 0, ``STEP``, ..., mm^3."""
        scan = read(case.image, case.id, self.channels)
        volume = math.prod(scan.shape[1:]) * math.prod(scan.pixdim.tolist())
        found, voxels = torch.zeros(len(self.table), STEPS + 1, dtype=torch.float64), 0
        for logits in self.inferer.logits(scan.to(self.device)[None], self.module):
            found += found_when_raised(logits)
            voxels += logits[:, 0].numel()
        volumes: NDArray[np.float64] = found.numpy() * (volume / voxels)
        return volumes


def _of_all_ranks(own: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """What all ranks have computed, in the order of the cases."""
    return ranks.interleaved(ranks.gathered(own))


def constants(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The constants (K + 1,) that a network's last layer adds to its logits of some inputs (1, C, X, Y[, Z]).

    Raises:
        SemclError: when there are none: what looks like them does not move the logits alike.
    """
    with eval_mode(network), torch.no_grad():
        before = network(inputs).clone()  # the next output may be written to the same place
        for module in reversed(list(network.modules())):
            weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
            of_layer = isinstance(weight, torch.Tensor) and weight.ndim > 1  # and not of a normalisation
            if not of_layer or not isinstance(bias, torch.Tensor) or len(bias) != before.shape[1]:
                continue
            kept, more = bias.clone(), (1 - 2 * (torch.arange(len(bias)) % 2)).to(bias)  # 1, -1, 1, ...
            bias += more
            moved = network(inputs) - before
            bias.copy_(kept)
            if torch.allclose(moved, more.view(1, -1, *[1] * (before.ndim - 2)).expand_as(moved).to(moved), atol=MOVED):
                return bias
    raise SemclError(
        "no layer of the network has the constants of its logits",
        found=type(network).__name__,
        expected=f"a last convolution with a bias of {before.shape[1]} values: background and the organs",
        remedy="set least_volume to 0, or give the network's last layer a bias",
    )


def found_when_raised(logits: torch.Tensor) -> torch.Tensor:
    """Voxels (K, STEPS + 1) that each organ gets by logits (B, K + 1, ...) with its own raised by 0, ``STEP``, ..."""
    (best, second), (winner, _) = (part.unbind(1) for part in logits.topk(2, dim=1))
    rows = []
    for number in range(1, logits.shape[1]):
        lacking = torch.where(winner == number, second, best).sub_(logits[:, number])
        needed = lacking.div_(STEP).ceil_().clamp_(0, STEPS + 1).long().flatten()
        rows.append(torch.bincount(needed, minlength=STEPS + 2)[: STEPS + 1].cumsum(0))
    return torch.stack(rows).double().cpu()


def raises(usual: NDArray[np.float64], found: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """What each organ's logit is raised by (K,).

    Args:
        usual: volumes (N, K) in labelled scans, NaN where an organ is not annotated.
        found: volumes (M, K, STEPS + 1) in other scans, as ``_found_volumes`` gives them.
        share: of the median of the labelled ones.
    """
    raised = np.zeros(usual.shape[1])
    shown = np.where(usual > 0, usual, np.nan)
    median = {
        organ: np.nanmedian(shown[:, organ]) for organ in range(len(raised)) if not np.isnan(shown[:, organ]).all()
    }
    shows = {organ: found[:, organ, 0] >= share / 2 * usual_volume for organ, usual_volume in median.items()}
    for organ, usual_volume in median.items():
        others = [there for other, there in shows.items() if other != organ]
        counted = found[np.mean(others, axis=0) >= SAME_PART, organ] if others else found[:0, organ]
        if not len(counted):
            continue
        known = usual[~np.isnan(usual[:, organ]), organ]
        most = max(1, round(len(counted) * float((known > 0).mean()) / 2))
        mean = np.sort(counted, axis=0)[-most:].mean(axis=0)
        enough = np.nonzero(mean >= share * usual_volume)[0]
        raised[organ] = STEP * (enough[0] if len(enough) else STEPS)
    return raised
