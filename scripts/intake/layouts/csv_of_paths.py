"""A CSV that lists the files of each case, relative to its own folder."""

from __future__ import annotations

from pathlib import Path

from .. import case_table
from .scan import Found, Scan, refuse_label_maps


def find(images: Path, label_maps: Path | None) -> Found | None:
    """The scans that a CSV of paths lists; None when ``images`` is not a CSV.

    Raises:
        SemclError: when the CSV cannot be used, and for ``label_maps``.
    """
    if images.suffix.lower() != ".csv":
        return None
    refuse_label_maps(label_maps, "in column label of the CSV")
    rows = case_table.read_rows(images, ("case", "image", "patient"))
    home = images.parent
    return [Scan(row.case, home / str(row.image), home / row.label if row.label else None, (), row) for row in rows], []
