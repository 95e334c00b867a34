"""Files that are whole or absent: everything is written to a temporary file and renamed."""

from __future__ import annotations

import csv
import os
import platform
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it is renamed to ``path`` at the end, removed after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{platform.node()}.{os.getpid()}"  # ids of processes are a machine's own
    aside = path.with_name(f".{writer}.{path.name}")  # writers take the format from the suffix
    try:
        yield aside
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:  # of a full disk, say: writers do not all name the file
        if error.errno is not None and error.filename in (None, str(aside), aside):
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def write_volume(path: Path, voxels: NDArray[Any], affine: NDArray[Any], note: str = "") -> None:
    """Write a volume (X, Y, Z) with its affine (voxel index to RAS mm) as NIfTI, and a note of at most 79 letters."""
    image = nib.Nifti1Image(voxels, np.asarray(affine, np.float64))
    image.header["descrip"] = note.encode()
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    with written_whole(path) as aside:
        nib.save(image, aside)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_csv(path: Path, lines: Iterable[Iterable[object]]) -> None:
    """Write the lines of a CSV file, the column names first."""
    with written_whole(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file's content."""
    total = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            total = zlib.crc32(block, total)
    return total


def checksum_of(path: str | Path | None) -> int | None:
    """The checksum of a file; None where there is none."""
    return None if path is None or not Path(path).is_file() else checksum(Path(path))
