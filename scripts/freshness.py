"""Whether what a run made is up to date: newer than its sources, or made of the same things."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .sidefiles import DAMAGE


def stamp(path: Path | None) -> list[int] | None:
    """Return size and time (ns) of a file, which differ for another file of that name; None without a file."""
    if path is None or not path.exists():
        return None
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def key(made_of: Any) -> str:
    """Return a short hash of all sources (plain data) of a result."""
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def newer(made: Path, sources: Iterable[Path]) -> bool:
    """Whether a file is there, as all of its sources are, and was written after them."""
    written = made.stat().st_mtime_ns if made.is_file() else 0
    return all(source.exists() and written > source.stat().st_mtime_ns for source in sources)


def noted(path: Path) -> dict[str, Any]:
    """Return the JSON object in a note; an empty one where it is missing or damaged, so that nothing counts as made."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except DAMAGE:
        return {}
