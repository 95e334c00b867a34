"""The Dice that a prediction is expected to have, by its own probabilities: written beside it, without any truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from ..cohort.label_table import LabelTable
from ..files import write_text
from ..sidefiles import plain_note
from .calibration import Scale
from .volumes import samples

SUFFIX = ".quality.json"


def expected_dice(score: torch.Tensor, scale: Scale) -> torch.Tensor:
    """The expected Dice, a scalar, of an object that is segmented where its score is above 1/2.

    With the calibrated probability p of each voxel and the segmentation S it is 2 sum_S p / (|S| + sum p), the expected
    overlap over the expected sizes. What lies outside of all queries has no probability, so an object of which the
    attention missed a part is thought better than it is.

    Args:
        score: (X, Y, Z) scores of the object, as ``scored`` gives them: 1/2 at its threshold.
        scale: of the object.
    """
    score, odds = score.float(), scale.threshold / (1 - scale.threshold)
    probability = score / (score + (1 - score) / odds)
    inside = score > 0.5
    sizes = inside.sum() + probability.sum()
    return 2 * (probability * inside).sum() / sizes.clamp_min(torch.finfo(sizes.dtype).tiny)  # 0 of nothing


def quality_path(folder: Path, case: str) -> Path:
    """Path of the file beside a case's prediction."""
    return folder / f"{case}{SUFFIX}"


def read_quality(path: Path) -> dict[str, float]:
    """Organ -> expected Dice, from a file that ``WriteQuality`` wrote.

    Raises:
        ValueError, TypeError, LookupError, SemclError: when it holds something else.
    """
    found = {str(organ): float(of["dice"]) for organ, of in plain_note(path)["organs"].items()}
    if not all(0 <= dice <= 1 for dice in found.values()):
        raise ValueError("a Dice that is not between 0 and 1")
    return found


class WriteQuality:
    """Handler: write the expected Dice of each organ of a prediction, and their mean, as <case>.quality.json.

    Args:
        folder: of the predictions.
        expected: object number -> expected Dice in the last volume, as ``QueryInferer.expected`` has it.
        table: names the organs.
    """

    def __init__(self, folder: str, expected: Mapping[int, torch.Tensor], table: LabelTable) -> None:
        self.folder, self.expected, self.table = Path(folder), expected, table

    def attach(self, engine: Engine) -> None:
        """Attach to the engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for sample in samples(engine):
            if "failed" not in sample:
                path = quality_path(self.folder, sample["case"])
                write_text(path, json.dumps(self._content(), indent=1))

    def _content(self) -> dict[str, Any]:
        dice = {self.table.names[number - 1]: float(of) for number, of in sorted(self.expected.items())}
        dice = {organ: of for organ, of in dice.items() if of > 0}  # of what was segmented
        mean = round(sum(dice.values()) / len(dice), 4) if dice else None
        return {"dice": mean, "organs": {organ: {"dice": round(of, 4)} for organ, of in dice.items()}}
