"""The expected Dice of maps as a scoring method of MONAI Label, whose strategies then serve the worst map first."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..errors import SemclError
from ..refine.expected_dice import SUFFIX


class ImageStore(Protocol):
    """What is used of MONAI Label's ``Datastore``."""

    def get_unlabeled_images(self) -> list[str]:
        """Ids of the images without a label map."""
        ...

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Add to what is noted of an image."""
        ...


class ExpectedDiceScoring:
    """A scoring method: notes of each unlabelled image the Dice that its map is expected to have.

    It has the interface of ``monailabel.interfaces.tasks.scoring.ScoringMethod`` and imports nothing of MONAI Label.
    Image info gets ``expected_dice``, and ``doubt`` = 1 - expected Dice, of which ``Epistemic(key="doubt")`` of MONAI
    Label serves the largest first.

    Args:
        quality: quality.json of an audit, or a folder of predictions with the <case>.quality.json of inference; the
            cases are named as the images of the datastore.
    """

    def __init__(self, quality: str | Path) -> None:
        self.quality = Path(quality)
        self.description = "Expected Dice of each unlabelled image's map, by SemCL"

    def info(self) -> dict[str, str]:
        """What MONAI Label shows of the method."""
        return {"description": self.description}

    def __call__(self, request: Mapping[str, Any], datastore: ImageStore) -> dict[str, Any]:
        """Note the scores; returns counts of images as MONAI Label's own methods do.

        Args:
            request: of MONAI Label; nothing of it is needed.
            datastore: of MONAI Label.

        Raises:
            SemclError: when there is no such file, or one is damaged; nothing is noted then.
        """
        begun, images, scores = time.time(), datastore.get_unlabeled_images(), read_expected_dice(self.quality)
        known = [name for name in images if name in scores]
        for name in known:
            dice = scores[name]
            datastore.update_image_info(name, {"expected_dice": dice, "doubt": round(1 - dice, 4)})
        counts = {"total": len(images), "skipped": len(images) - len(known), "executed": len(known)}
        return {**counts, "latency": round(time.time() - begun, 3)}


def read_expected_dice(path: Path) -> dict[str, float]:
    """Case -> expected Dice of its map, of the cases that have one.

    Args:
        path: quality.json of an audit, or a folder of predictions.

    Raises:
        SemclError: when there is none, or a file holds something else.
    """
    try:
        content = _of_folder(path) if path.is_dir() else json.loads(path.read_text(encoding="utf-8"))
        found = {str(case): float(one["dice"]) for case, one in content.items() if one["dice"] is not None}
        if not all(math.isfinite(dice) and 0 <= dice <= 1 for dice in found.values()):
            raise ValueError("a Dice that is not between 0 and 1")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SemclError(
            "there is no expected Dice to score images by",
            found=f"{path}: {type(error).__name__} {error}".rstrip(),
            expected="a folder of predictions by inference.yaml, or quality.json of an audit of maps",
            remedy="run inference.yaml, or `python -m scripts audit --dataset_dir cohort/ --maps predictions/`",
        ) from error
    return found


def _of_folder(folder: Path) -> dict[str, Any]:
    """Case -> content of its file beside the prediction."""
    found = {path.name.removesuffix(SUFFIX): json.loads(path.read_text("utf-8")) for path in folder.glob(f"*{SUFFIX}")}
    if not found:
        raise ValueError(f"no <case>{SUFFIX}")
    return found
