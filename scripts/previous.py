"""Output of earlier runs that a run replaces: kept in the folder's ``.previous`` until the run has ended well."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from itertools import count
from pathlib import Path

PREVIOUS_FOLDER = ".previous"


def set_aside(folder: Path, files: Iterable[Path]) -> Path | None:
    """Move files of a folder into its ``.previous``, beside what earlier runs that did not end well left there.

    Args:
        folder: a folder of a stage's output.
        files: in it; those that do not exist are left out.

    Returns:
        Where they are; None where there was nothing to move.
    """
    moved = [path for path in files if path.is_file()]
    if not moved:
        return None
    place = next(path for number in count(1) if not (path := folder / PREVIOUS_FOLDER / str(number)).exists())
    place.mkdir(parents=True)
    for path in moved:
        path.replace(place / path.name)
    return place


def forget_previous(folder: Path) -> None:
    """Remove what ``set_aside`` has kept of a folder, once all of it was made again."""
    shutil.rmtree(folder / PREVIOUS_FOLDER, ignore_errors=True)
