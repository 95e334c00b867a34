"""Fitting a calibration: each object's logits counted over labelled queries, and Platt scaling of the counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import nn
from torch.utils.data import DataLoader

from .. import ranks
from ..bars import bar
from ..cohort.label_table import LabelTable
from ..finite import refuse_broken
from ..job.weights import models
from ..queries.views import Views
from .calibration import Calibration, Scale, calibration_path, is_calibration
from .refiner import PrepareQueries

BINS, LARGEST_LOGIT = 400, 20.0  # of the histograms of logits; larger logits count as the largest
PRIOR = 1.0  # weight, in voxels, of the prior that a logit needs no scaling
FIT_BOUNDS = (0.05, 20.0), (-10.0, 10.0)  # of slope and offset
DICE_TOLERANCE = 0.01  # Dice a decision may lose to stay nearer to the network's own


def fit_scale(counts: NDArray[np.floating]) -> Scale:
    """Platt scaling (1999) of one object, and its decision.

    The decision is the one nearest to the network's own (logit 0) whose Dice over all voxels is within 0.01 of the
    best: a probability of 1/2 is not where Dice is best (Lipton et al., arXiv 1402.1892), but small gains are luck.

    Args:
        counts: (2, bins) voxels outside and inside the object by logit, from -20 to 20.
    """
    edges = np.linspace(-LARGEST_LOGIT, LARGEST_LOGIT, counts.shape[1] + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    outside, inside = np.asarray(counts, float)
    if not inside.sum() or not outside.sum():
        return Scale()

    slope, offset = _platt(centres, outside, inside)
    hits = np.append(inside[::-1].cumsum()[::-1], 0)
    predicted = np.append(counts.sum(0)[::-1].cumsum()[::-1], 0)
    dice = 2 * hits / (predicted + inside.sum())
    good = edges[dice >= dice.max() - DICE_TOLERANCE]
    return Scale.from_decision(slope, offset, float(good[np.abs(good).argmin()]))


def _platt(
    logits: NDArray[np.floating], outside: NDArray[np.floating], inside: NDArray[np.floating]
) -> tuple[float, float]:
    """Slope and offset of the highest posterior, under normal priors around 1 and 0."""
    columns = np.stack([logits, np.ones_like(logits)])
    neutral, voxels = np.array([1.0, 0.0]), outside.sum() + inside.sum()

    def loss(scale: NDArray[np.floating]) -> tuple[float, NDArray[np.floating]]:
        scaled = scale @ columns
        likelihood = (inside * np.logaddexp(0, -scaled) + outside * np.logaddexp(0, scaled)).sum()
        gradient = columns @ (outside * expit(scaled) - inside * expit(-scaled)) + 2 * PRIOR * (scale - neutral)
        return (likelihood + PRIOR * ((scale - neutral) ** 2).sum()) / voxels, gradient / voxels

    found = minimize(loss, neutral, jac=True, method="L-BFGS-B", bounds=FIT_BOUNDS, options={"ftol": 0, "gtol": 1e-12})
    slope, offset = found.x.tolist()
    return slope, offset


class Calibrate:
    """Handler: fit the calibration once training has completed and its weights are written, and write it beside them.

    Args:
        path: of the weights.
        network: gives the logits.
        loader: batches of queries with their targets and ``object`` numbers.
        views: the views of training, so that the queries differ from those the weights were fitted to.
        table: names the objects.
        made_of: which queries these are, noted in the file.
        device: of the network.
        seed: of the views.
    """

    def __init__(
        self,
        path: str,
        network: nn.Module,
        loader: DataLoader[dict[str, torch.Tensor]],
        views: Views,
        table: LabelTable,
        made_of: str,
        device: torch.device,
        seed: int = 0,
    ) -> None:
        self.path, self.network, self.loader, self.table = Path(path), network, loader, table
        self.views, self.made_of, self.device, self.seed = views, made_of, device, seed

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self.claim)
        engine.add_event_handler(Events.COMPLETED, self)

    def claim(self, engine: Engine) -> None:
        """Mark the file as the stage's own, before training.

        Raises:
            SemclError: when there is a file of its name that is not a calibration.
        """
        names = [calibration_path(self.path).name]
        ranks.first_alone(lambda: models(self.path.parent).claim_files(names, is_calibration))

    def __call__(self, engine: Engine) -> None:
        counts = self.count().reshape(len(self.table) + 1, 2, BINS).cpu().numpy()
        if ranks.number() == 0:
            scales = {name: fit_scale(counts[number]) for number, name in enumerate(self.table.names, start=1)}
            Calibration(scales).write(self.path, self.made_of)

    def count(self) -> torch.Tensor:
        """Voxels of all ranks' queries by object, ground truth and logit, flattened.

        Raises:
            SemclError: for logits that are not finite.
        """
        self.views.set_random_state(self.seed)  # so that a resumed run has the same views
        prepare = PrepareQueries(self.views)
        counts = torch.zeros((len(self.table) + 1) * 2 * BINS, dtype=torch.int64, device=self.device)
        self.network.eval()
        for batch in bar(
            self.loader, total=len(self.loader), title="calibration", unit="step", hidden=ranks.number() > 0
        ):
            inputs, targets = prepare(batch, self.device, non_blocking=True)
            with torch.no_grad():
                logits = self.network(inputs).float()
            refuse_broken(logits, "trained", "queries it is calibrated on", None)
            cell = ((logits + LARGEST_LOGIT) * (BINS / (2 * LARGEST_LOGIT))).long().clamp_(0, BINS - 1)
            number = batch["object"].to(self.device).view(-1, *[1] * (logits.ndim - 1))
            cell = torch.where(targets >= 0, (number * 2 + targets.long()) * BINS + cell, 0)  # ignored: background's
            counts += torch.bincount(cell.flatten(), minlength=len(counts))
        return ranks.total(counts)
