"""Which files and folders are volumes, their case ids, and how many are read at once."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import SemclError
from ..outputs import MARKER
from . import pictures
from .dicom import holds_dicom

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", *pictures.PICTURE_SUFFIXES)
SAMPLE = 1_000_000  # voxels of a volume that percentiles are computed from
MOST_READERS = 4  # volumes worked on at once: each takes the memory of a few copies


def case_id(path: Path) -> str | None:
    """File name without the suffix of a volume; None for other files."""
    for suffix in VOLUME_SUFFIXES:
        if path.name.endswith(suffix) and not path.name.startswith("."):
            return path.name[: -len(suffix)]
    return None


def volumes(folder: Path) -> dict[str, Path]:
    """Case id -> file of each volume in a folder, in order of file names; a subfolder of DICOM slices is a volume too.

    Pictures are volumes only where there are no others. Subfolders that a stage marked as its output are skipped.

    Raises:
        SemclError: when two files have the same case id.
    """
    found: dict[str, Path] = {}
    paths = [path for path in sorted(folder.iterdir()) if case_id(path) or (path.is_dir() and holds_dicom(path))]
    paths = [path for path in paths if not (path / MARKER).is_file()]
    for path in pictures.without_previews(paths):
        case = path.name if path.is_dir() and holds_dicom(path) else case_id(path)
        if case is not None and case in found:
            raise SemclError(
                "two files of one case",
                case=case,
                found=f"{found[case].name} and {path.name} in {folder}",
                expected="one volume per case",
                remedy="remove one of them",
            )
        if case is not None:
            found[case] = path
    return found


def overlooked(folder: Path) -> list[Path]:
    """Files of a folder that are named like volumes and cannot be read as such, in order of their names.

    Those are links to nothing, and files whose suffix is not in lower case.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and not path.is_dir()]
    like = [path for path in files if case_id(path.with_name(path.name.lower()))]
    return [path for path in pictures.without_previews(like) if case_id(path) is None or not path.exists()]


def readers(workers: int | None) -> int:
    """How many volumes to work on at once: ``workers``; for None one per core, at most 4."""
    return min(os.cpu_count() or 1, MOST_READERS) if workers is None else max(workers, 1)
