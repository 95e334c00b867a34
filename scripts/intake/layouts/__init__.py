"""Layouts of data sets, one module per layout; none imports another.

A layout is a function of ``images`` and ``label_maps`` that returns scans and findings, or None when the files have
another layout. They are tried in the order of ``LAYOUTS``; a new one is a module and its entry in that list.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import SemclError
from . import csv_of_paths, folders, totalsegmentator, voc
from .scan import Found

Layout = Callable[[Path, Path | None], Found | None]
LAYOUTS: tuple[Layout, ...] = (csv_of_paths.find, totalsegmentator.find, voc.find, folders.find)  # the last accepts any


def find_scans(images: Path, label_maps: Path | None) -> Found:
    """Pair images and label maps by case id, and report those without a counterpart.

    Args:
        images: folder of volumes, root of a data set, one volume, one DICOM folder, or a CSV of paths.
        label_maps: folder of label maps or one file; None for those of the data set.

    Raises:
        SemclError: when a folder is missing or holds no volumes, or a table or list of the layout is invalid.
    """
    for path in (images, label_maps):
        listed = path is not None and path.suffix.lower() == ".csv"  # its reader has better errors
        if path is not None and not (path.is_dir() or path.is_file() or listed):
            missing = "a path that is neither a file nor a folder" if path.exists() else "a folder is missing"
            raise SemclError(missing, found=str(path), expected="a folder of volumes", remedy="check the path")
    answers = (find(images, label_maps) for find in LAYOUTS)
    return next(found for found in answers if found is not None)
