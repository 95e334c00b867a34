"""Fitting a calibration: each object's logits counted over labelled queries of two halves of the patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from .. import ranks
from ..bars import bar
from ..cohort.label_table import LabelTable
from ..finite import refuse_broken
from ..job.weights import models
from ..queries.views import Views
from .calibration import Calibration, calibration_path, is_calibration
from .calibration_quality import calibration_quality, merged_quality
from .halves import Halves
from .platt import BINS, LARGEST_LOGIT, LOGIT_CENTRES, fit_scale
from .refiner import PrepareQueries

LEFT_OUT = "queries of patients left out in turn"


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
        patients: number (Q,) of the patient of each query, whose halves judge each other's calibration; None: they are
            not judged.
        cross_fitted: weights of models that each left a fold out; their mean calibration is taken instead of a fit.
        halves: trains without each half of the patients, so that none is calibrated on what it has learnt from; None:
            the trained network itself gives all logits, and so it does where there is a single patient.
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
        patients: NDArray[np.integer] | None = None,
        cross_fitted: Sequence[str] = (),
        halves: Halves | None = None,
    ) -> None:
        self.patients, self.half = patients, None
        if patients is not None:
            self.half = torch.from_numpy(np.unique(patients, return_inverse=True)[1] % 2)
        self.halves = halves if self.half is not None and self.half.any() else None
        self.path, self.network, self.loader, self.table = Path(path), network, loader, table
        self.views, self.made_of, self.device, self.seed = views, made_of, device, seed
        self.cross_fitted = [Path(path) for path in cross_fitted]
        self.taken: Calibration | None = None  # that of the cross-fitted models

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.STARTED, self.claim)
        engine.add_event_handler(Events.COMPLETED, self)

    def claim(self, engine: Engine) -> None:
        """Mark the file as the stage's own, before training.

        Raises:
            SemclError: when there is a file of its name that is not a calibration, or none of a cross-fitted model.
        """
        if self.cross_fitted:
            self.taken = Calibration.mean(list(map(str, self.cross_fitted)))
            self.taken.quality = merged_quality([Calibration.read(path).quality for path in self.cross_fitted])
        names = [calibration_path(self.path).name]
        ranks.first_alone(lambda: models(self.path.parent).claim_files(names, is_calibration))

    def __call__(self, engine: Engine) -> None:
        halves = self.halves if self.halves is not None and self.halves.due(engine) else None
        if self.taken is not None:
            found = self.taken
        else:
            found = self.fitted((self.count_halves(halves) if halves else self.count()).cpu().numpy())
        if ranks.number() == 0:
            others = ", ".join(path.name for path in self.cross_fitted)
            made_of = self.made_of if halves is None else LEFT_OUT
            found.write(self.path, f"queries of the folds left out by {others}" if others else made_of)

    def fitted(self, counts: NDArray[np.integer]) -> Calibration:
        """The calibration fitted to counts of ``count``."""
        whole = counts.sum(0)
        scales = {name: fit_scale(whole[number]) for number, name in enumerate(self.table.names, start=1)}
        judged = {} if self.half is None else calibration_quality(counts, self.table.names, LOGIT_CENTRES)
        return Calibration(scales, judged)

    def count_halves(self, halves: Halves) -> torch.Tensor:
        """``count`` of each half of the patients by a network that has not seen it."""
        half, counts = np.asarray(self.half), []
        with halves.after_training():
            for number in range(2):
                halves.train_without(np.unique(np.asarray(self.patients)[half == number]).tolist(), number)
                counts.append(self.count()[number])
        return torch.stack(counts)

    def count(self) -> torch.Tensor:
        """Voxels (2, K + 1, 2, bins) of all ranks' queries by half of the patients, object, ground truth and logit.

        Raises:
            SemclError: for logits that are not finite.
        """
        self.views.set_random_state(self.seed)  # so that a resumed run has the same views
        prepare = PrepareQueries(self.views)
        shape = 2, len(self.table) + 1, 2, BINS
        counts = torch.zeros(int(np.prod(shape)), dtype=torch.int64, device=self.device)
        self.network.eval()
        for batch in bar(
            self.loader, total=len(self.loader), title="calibration", unit="step", hidden=ranks.number() > 0
        ):
            inputs, targets = prepare(batch, self.device, non_blocking=True)
            with torch.no_grad():
                logits = self.network(inputs).float()
            refuse_broken(logits, "trained", "queries it is calibrated on", None)
            cell = ((logits + LARGEST_LOGIT) * (BINS / (2 * LARGEST_LOGIT))).long().clamp_(0, BINS - 1)
            row = (self._half(batch) * shape[1] + batch["object"]).to(self.device).view(-1, *[1] * (logits.ndim - 1))
            cell = torch.where(targets >= 0, (row * 2 + targets.long()) * BINS + cell, 0)  # ignored: background's
            counts += torch.bincount(cell.flatten(), minlength=len(counts))
        return ranks.total(counts).reshape(shape)

    def _half(self, batch: dict[str, Any]) -> Any:
        return 0 if self.half is None else self.half[batch["query"]]
