"""Calibration of a model: from logits to probabilities and decisions, by organ, in a file beside the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cohort.label_table import LabelTable
from ..errors import SemclError
from ..files import checksum, write_text
from ..sidefiles import DAMAGE, has_keys

QUALITY_KINDS = ("raw", "calibrated")  # the network's own probabilities, and those under a calibration
ROW = 3  # of a reliability diagram: predicted probability, observed frequency, voxels


@dataclass(frozen=True)
class Scale:
    """One object's calibration: probability = sigmoid(slope * logit + offset), segmented above ``threshold``."""

    slope: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that no calibration gives.

        Raises:
            ValueError: for numbers that are not finite, a slope not above 0, or a threshold not between 0 and 1.
        """
        if not (0 < self.slope < math.inf and math.isfinite(self.offset) and 0 < self.threshold < 1):
            raise ValueError(f"slope {self.slope}, offset {self.offset}, threshold {self.threshold}")

    @property
    def decision(self) -> float:
        """The logit at the threshold."""
        return (math.log(self.threshold / (1 - self.threshold)) - self.offset) / self.slope

    @classmethod
    def from_decision(cls, slope: float, offset: float, decision: float) -> Scale:
        """The scale whose threshold lies at the logit ``decision``."""
        at_threshold = min(max(slope * decision + offset, -30.0), 30.0)
        return cls(slope, offset, 1 / (1 + math.exp(-at_threshold)))


def scored(logits: torch.Tensor, scales: Sequence[Scale]) -> torch.Tensor:
    """Scores of logits (B, ...): o / (1 + o), where o is calibrated odds over the threshold's; 1/2 at it.

    Args:
        logits: of any floating-point type and on any device.
        scales: of each of the B rows.
    """
    numbers = torch.tensor([(scale.slope, scale.decision) for scale in scales], dtype=logits.dtype)
    slope, decision = numbers.T.to(logits.device, non_blocking=True).view(2, -1, *[1] * (logits.ndim - 1))
    return torch.sigmoid((logits - decision) * slope)


class Calibration:
    """The scale of each object by name; objects without one keep the network's own probabilities.

    Args:
        scales: organ -> its scale.
        quality: of the probabilities, as ``calibration_quality`` has it; empty where it is not known.
    """

    def __init__(self, scales: dict[str, Scale] | None = None, quality: Mapping[str, Any] | None = None) -> None:
        self.scales, self.quality = scales or {}, dict(quality or {})

    def by_number(self, table: LabelTable) -> dict[int, Scale]:
        """Object number -> scale, for every object of a label table."""
        return {number: self.scales.get(name, Scale()) for number, name in enumerate(table.names, start=1)}

    def write(self, weights: Path, made_of: str) -> None:
        """Write as JSON beside the weights it belongs to; ``made_of`` names the queries it was fitted to."""
        scales = {name: asdict(scale) for name, scale in self.scales.items()}
        content = {"made_of": made_of, "weights": checksum(weights), "scales": scales, "quality": self.quality}
        write_text(calibration_path(weights), json.dumps(content, indent=1))

    @classmethod
    def read(cls, weights: Path) -> Calibration:
        """Read the file that ``write`` wrote beside these weights.

        Raises:
            SemclError: when the file is missing, holds something else, or belongs to other weights.
        """
        path = calibration_path(weights)
        if weights.is_file() and not path.exists():
            raise SemclError(
                "a model has no calibration",
                found=f"{weights} without {path.name}",
                expected="the file train.yaml writes beside the weights of the last epoch; those of the best "
                "validation (_best.pt) have none",
                remedy="take the weights of the last epoch and their calibration, or add --calibrated False: the "
                "network's own probabilities, with a threshold of 1/2 for every organ",
            )
        try:
            content = json.loads(path.read_text())
            belongs_to, scales = content["weights"], {}
            for name, numbers in content["scales"].items():
                scales[str(name)] = Scale(**{key: float(value) for key, value in numbers.items()})
                if not math.isfinite(scales[str(name)].decision):
                    raise ValueError("a scale without a finite decision")
            quality = checked_quality(content.get("quality") or {})
        except (*DAMAGE, ArithmeticError) as error:
            raise SemclError(
                "the calibration of a model cannot be read",
                found=f"{path}: {type(error).__name__} {error}".rstrip(),
                expected="the file train.yaml writes beside its weights",
                remedy="run train.yaml again, or set calibrated to False",
            ) from error
        if belongs_to != checksum(weights):
            raise SemclError(
                "a calibration belongs to other weights",
                found=f"{path}, made for a file of checksum {belongs_to}",
                expected=f"{weights}, of checksum {checksum(weights)}",
                remedy="copy both files together, run train.yaml again, or set calibrated to False",
            )
        return cls(scales, quality)

    @classmethod
    def mean(cls, weights: Sequence[str]) -> Calibration:
        """The mean calibration of models, without its quality; errors of ``read``."""
        members = [cls.read(Path(path)) for path in weights]
        scales = {}
        for name in dict.fromkeys(name for member in members for name in member.scales):
            own = [member.scales.get(name, Scale()) for member in members]
            means = np.mean([(scale.slope, scale.offset, scale.decision) for scale in own], axis=0).tolist()
            scales[name] = Scale.from_decision(*means)
        return cls(scales)


def checked_quality(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The quality in a calibration's file, by organ and kind of probability, checked to have the types it is read as.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: for anything else.
    """
    return {str(organ): {kind: _checked(of[kind]) for kind in QUALITY_KINDS} for organ, of in content.items()}


def _checked(judged: Mapping[str, Any]) -> dict[str, Any]:
    if not judged:
        return {}
    rows = [[float(number) for number in row] for row in judged["reliability"]]
    numbers = [float(judged["ece"]), float(judged["brier"]), *(number for row in rows for number in row)]
    if any(len(row) != ROW for row in rows) or not all(map(math.isfinite, numbers)):
        raise ValueError("rows of another length than those of a reliability diagram, or numbers that are not finite")
    return {"ece": numbers[0], "brier": numbers[1], "reliability": rows}


def calibration_path(weights: Path) -> Path:
    """Path of the calibration of a weights file."""
    return weights.with_suffix(".calibration.json")


def is_calibration(path: Path) -> bool:
    """Whether a file is a calibration, by its keys."""
    return has_keys(path, {"made_of", "weights", "scales"})


def load_scales(weights: Sequence[str], table: LabelTable, wanted: bool = True) -> dict[int, Scale]:
    """Object number -> scale of the models whose logits are averaged; errors of ``Calibration.read``.

    Args:
        weights: files of the models' weights.
        table: names the objects.
        wanted: False keeps the networks' own probabilities.
    """
    return Calibration.mean(weights).by_number(table) if wanted else {}
