"""What the training stages left beside the evaluation, read for the report: the calibration of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..refine.calibration import checked_quality
from ..sidefiles import for_show, plain_note
from .statistics import ALL


def read_calibration(folder: Path) -> dict[str, Any] | None:
    """What the calibration was fitted to and the quality of its probabilities; None where neither was noted."""
    path = folder / "model.calibration.json"
    found = for_show(path, _calibration) if path.is_file() else None
    return found or None


def _calibration(path: Path) -> dict[str, Any]:
    """The content of a calibration that the page shows; empty without quality."""
    note = plain_note(path)
    if not isinstance(note["made_of"], str):
        raise TypeError("values of other types than a calibration's")
    judged = checked_quality(note.get("quality") or {})
    whole = {organ: of for organ, of in judged.items() if all(of.values())}
    return {"made_of": note["made_of"], "quality": whole} if ALL in whole else {}
