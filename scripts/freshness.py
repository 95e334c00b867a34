"""Whether what a run made is up to date: newer than its sources, or made of the same things."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .sidefiles import DAMAGE
from .voxel_files import voxel_files


def stamp(path: Path | None) -> list[int] | None:
    """Return size and time (ns) of a file, which differ for another file of that name; None without a file.

    Of a folder of slices they are the sum and the latest of all in it, of a detached header those with its voxels.
    """
    if path is None or not path.exists():
        return None
    stats = [part.stat() for part in _parts(path)]
    return [sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)]


def _parts(path: Path) -> list[Path]:
    """A file with those that belong to it, or a folder with the files in it, as far as they are there."""
    others = path.iterdir() if path.is_dir() else voxel_files(path)
    return [path, *(part for part in others if os.path.isfile(part))]  # Path.is_file raises when a path is too long


def key(made_of: Any) -> str:
    """Return a short hash of all sources (plain data) of a result."""
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def newer(made: Path, sources: Iterable[Path]) -> bool:
    """Whether a file is there, as all of its sources are, and was written after them."""
    written = made.stat().st_mtime_ns if made.is_file() else 0
    return all((found := stamp(source)) is not None and written > found[1] for source in sources)


def noted(path: Path) -> dict[str, Any]:
    """Return the JSON object in a note; an empty one where it is missing or damaged, so that nothing counts as made."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except DAMAGE:
        return {}
