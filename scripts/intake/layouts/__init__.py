"""Layouts of data sets, one module per layout, tried in the order of ``LAYOUTS``; none imports another.

A layout is a function of ``images`` and ``label_maps`` that returns scans and findings, or None for another layout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import SemclError
from . import csv_of_paths, folders, totalsegmentator, voc
from .scan import Found

Layout = Callable[[Path, Path | None], Found | None]
LAYOUTS: dict[str, Layout] = {  # name, as `check` reports it; the last accepts any files
    "a CSV of paths": csv_of_paths.find,
    "a folder per scan with one mask per organ, as TotalSegmentator writes them": totalsegmentator.find,
    "PASCAL VOC": voc.find,
    "volumes in one folder, label maps by the same names": folders.find,
}


def find_layout(images: Path, label_maps: Path | None) -> tuple[str, Found]:
    """Pair images and label maps by case id, and report those without a counterpart; the layout's name comes first.

    Args:
        images: folder of volumes, root of a data set, one volume, one DICOM folder, or a CSV of paths.
        label_maps: folder of label maps or one file; None for those of the data set.

    Raises:
        SemclError: when a folder is missing or holds no volumes, or the layout refuses its files or ``label_maps``.
    """
    for path in (images, label_maps):
        listed = path is not None and path.suffix.lower() == ".csv"  # its reader has better errors
        if path is not None and not (path.is_dir() or path.is_file() or listed):
            missing = "a path that is neither a file nor a folder" if path.exists() else "a folder is missing"
            raise SemclError(missing, found=str(path), expected="a folder of volumes", remedy="check the path")
    answers = ((name, find(images, label_maps)) for name, find in LAYOUTS.items())
    return next((name, found) for name, found in answers if found is not None)
