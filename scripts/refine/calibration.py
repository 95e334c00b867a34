"""Calibration: what a refiner's logit of each object is worth as a probability, and from where on it is drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from .. import ranks
from ..cohort.label_table import LabelTable
from ..errors import SemclError
from ..files import checksum, write_text
from ..finite import refuse_broken
from ..queries.views import Views
from ..sidefiles import DAMAGE
from .refiner import PrepareQueries

BINS, REACH = 400, 20.0  # of the histograms of logits: cells, and the largest logit told apart
PRIOR = 1.0  # voxels' worth of belief that a logit is what it says
BELIEVABLE = (0.05, -10.0), (20.0, 10.0)  # lowest and highest slope and offset
STEPS, SETTLED = 100, 1e-9  # of Newton's method: at most so many, until one is so small
INDIFFERENT = 0.01  # Dice that a decision must gain to be moved


@dataclass(frozen=True)
class Scale:
    """One object's: probability = sigmoid(slope * logit + offset), drawn where that is above ``threshold``."""

    slope: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5

    @property
    def decision(self) -> float:
        """The logit from which on it is drawn."""
        return (math.log(self.threshold / (1 - self.threshold)) - self.offset) / self.slope

    def standing(self, logit: torch.Tensor) -> torch.Tensor:
        """Logits of any shape as the share o / (1 + o) of calibrated odds over the threshold's odds: 1/2 at it."""
        return torch.sigmoid(self.slope * (logit - self.decision))

    def __post_init__(self) -> None:
        """Refuse what no calibration gives.

        Raises:
            ValueError: for numbers that are not finite, a slope not above 0, or a threshold not between 0 and 1.
        """
        if not (0 < self.slope < math.inf and math.isfinite(self.offset) and 0 < self.threshold < 1):
            raise ValueError(f"slope {self.slope}, offset {self.offset}, threshold {self.threshold}")

    @classmethod
    def deciding(cls, slope: float, offset: float, decision: float) -> Scale:
        """The scale that draws from a logit on."""
        certain = min(max(slope * decision + offset, -30.0), 30.0)
        return cls(slope, offset, 1 / (1 + math.exp(-certain)))


class Calibration:
    """The scale of each object by name; those not in it are taken as the network has them.

    Args:
        scales: organ -> its scale.
    """

    def __init__(self, scales: dict[str, Scale] | None = None) -> None:
        self.scales = scales or {}

    def numbered(self, table: LabelTable) -> dict[int, Scale]:
        """Object number -> scale, for every object of a label table."""
        return {number: self.scales.get(name, Scale()) for number, name in enumerate(table.names, start=1)}

    def write(self, weights: Path, made_of: str) -> None:
        """Write as JSON beside the weights it is of; ``made_of`` says which queries it was fitted to."""
        scales = {name: asdict(scale) for name, scale in self.scales.items()}
        content = {"made_of": made_of, "weights": checksum(weights), "scales": scales}
        write_text(calibration_path(weights), json.dumps(content, indent=1))

    @classmethod
    def read(cls, weights: Path) -> Calibration:
        """Read what ``write`` wrote beside these weights.

        Raises:
            SemclError: when the file is missing, holds something else, or is of other weights.
        """
        path = calibration_path(weights)
        try:
            content = json.loads(path.read_text())
            of, scales = content["weights"], {}
            for name, numbers in content["scales"].items():
                scales[str(name)] = Scale(**{key: float(value) for key, value in numbers.items()})
                if not math.isfinite(scales[str(name)].decision):
                    raise ValueError("a scale that draws nothing")
        except (*DAMAGE, ArithmeticError) as error:
            raise SemclError(
                "the calibration of a model cannot be read",
                found=f"{path}: {type(error).__name__} {error}".rstrip(),
                expected="the file train.yaml writes beside its weights",
                remedy="run train.yaml again, or set calibrated to False",
            ) from error
        if of != checksum(weights):
            raise SemclError(
                "a calibration is of other weights",
                found=f"{path}, made for a file of checksum {of}",
                expected=f"{weights}, of checksum {checksum(weights)}",
                remedy="copy both files together, run train.yaml again, or set calibrated to False",
            )
        return cls(scales)

    @classmethod
    def of_models(cls, weights: Sequence[str]) -> Calibration:
        """The mean calibration of models whose logits are averaged; errors of ``read``."""
        members = [cls.read(Path(path)) for path in weights]
        scales = {}
        for name in dict.fromkeys(name for member in members for name in member.scales):
            own = [member.scales.get(name, Scale()) for member in members]
            means = np.mean([(one.slope, one.offset, one.decision) for one in own], axis=0).tolist()
            scales[name] = Scale.deciding(*means)
        return cls(scales)


def calibration_path(weights: Path) -> Path:
    """Where the calibration of a weights file lies."""
    return weights.with_suffix(".calibration.json")


def fit_scale(counts: NDArray[np.floating]) -> Scale:
    """Platt's scaling (1999) of one object, and its decision.

    The decision is the one nearest to the network's own (logit 0) whose Dice over all voxels is within 0.01 of the
    best: a probability of 1/2 is not where Dice is best (Lipton et al., arXiv 1402.1892), but small gains are luck.

    Args:
        counts: (2, bins) voxels outside and inside the object by logit, from -20 to 20.
    """
    edges = np.linspace(-REACH, REACH, counts.shape[1] + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    outside, inside = np.asarray(counts, float)
    if not inside.sum() or not outside.sum():
        return Scale()

    slope, offset = _likeliest(middles, outside, inside)
    hits = np.append(inside[::-1].cumsum()[::-1], 0)
    drawn = np.append(counts.sum(0)[::-1].cumsum()[::-1], 0)
    dice = 2 * hits / (drawn + inside.sum())
    good = edges[dice >= dice.max() - INDIFFERENT]
    decision = good[np.abs(good).argmin()]
    return Scale.deciding(float(slope), float(offset), float(decision))


def _likeliest(
    logits: NDArray[np.floating], outside: NDArray[np.floating], inside: NDArray[np.floating]
) -> tuple[float, float]:
    """Slope and offset under which the counts are likeliest, near to 1 and 0: Newton's method, with steps halved."""
    columns = np.stack([logits, np.ones_like(logits)])
    believed = np.array([1.0, 0.0])

    def loss(scale: NDArray[np.floating]) -> float:
        scaled = scale @ columns
        wrong = (inside * np.logaddexp(0, -scaled) + outside * np.logaddexp(0, scaled)).sum()
        return float(wrong + PRIOR * ((scale - believed) ** 2).sum())

    scale = believed
    for _ in range(STEPS):
        probability = np.exp(-np.logaddexp(0, -(scale @ columns)))
        slope = columns @ ((outside + inside) * probability - inside) + 2 * PRIOR * (scale - believed)
        weight = (outside + inside) * probability * (1 - probability)
        free = _within(scale - SETTLED * np.sign(slope)) != scale  # the others would leave what is believable
        curve = (columns[free] * weight) @ columns[free].T + 2 * PRIOR * np.eye(free.sum())
        step = np.zeros(2)
        step[free] = np.linalg.solve(curve, slope[free])
        while loss(_within(scale - step)) > loss(scale) and np.abs(step).max() > SETTLED:
            step = step / 2
        if np.abs(step).max() <= SETTLED:
            break
        scale = _within(scale - step)
    return float(scale[0]), float(scale[1])


def _within(scale: NDArray[np.floating]) -> NDArray[np.floating]:
    """A slope and an offset as far as they are believable."""
    clipped: NDArray[np.floating] = np.clip(scale, *BELIEVABLE)
    return clipped


def load_scales(weights: Sequence[str], table: LabelTable, wanted: bool = True) -> dict[int, Scale]:
    """Object number -> scale of the models whose logits are averaged; errors of ``Calibration.read``.

    Args:
        weights: the models' files.
        table: names the objects.
        wanted: False leaves the networks' own probabilities.
    """
    return Calibration.of_models(weights).numbered(table) if wanted else {}


class Calibrate:
    """Handler: fit the calibration when training has completed and its weights are written, and write it beside them.

    Args:
        path: of the weights.
        network: gives the logits.
        loader: batches of queries with their targets and ``object`` numbers.
        views: the views training sees the queries by, so that they are not those the weights were made of.
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
        """Be called when the engine's run has completed."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        counts = self.count().reshape(len(self.table) + 1, 2, BINS).cpu().numpy()
        if ranks.number() == 0:
            scales = {name: fit_scale(counts[number]) for number, name in enumerate(self.table.names, start=1)}
            Calibration(scales).write(self.path, self.made_of)

    def count(self) -> torch.Tensor:
        """Voxels by object, truth and logit, flat, of all ranks' queries.

        Raises:
            SemclError: for logits that are not finite.
        """
        self.views.set_random_state(self.seed)  # or a run that was interrupted had others
        prepare = PrepareQueries(self.views)
        counts = torch.zeros((len(self.table) + 1) * 2 * BINS, dtype=torch.int64, device=self.device)
        self.network.eval()
        for batch in tqdm(self.loader, desc="calibrate", unit="batch", leave=False, disable=ranks.number() > 0):
            inputs, targets = prepare(batch, self.device, non_blocking=True)
            with torch.no_grad():
                logits = self.network(inputs).float()
            refuse_broken(logits, "trained", "queries it is calibrated on", None)
            cell = ((logits + REACH) * (BINS / (2 * REACH))).long().clamp_(0, BINS - 1)
            number = batch["object"].to(self.device).view(-1, *[1] * (logits.ndim - 1))
            cell = torch.where(targets >= 0, (number * 2 + targets.long()) * BINS + cell, 0)  # ignored: nobody's
            counts += torch.bincount(cell.flatten(), minlength=len(counts))
        return ranks.total(counts)
