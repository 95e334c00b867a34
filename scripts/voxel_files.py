"""NRRD and MetaImage headers that name other files, which hold the voxels."""

from __future__ import annotations

import re
from pathlib import Path

DETACHED_SUFFIXES = (".nrrd", ".mhd", ".mha")
HEADER = 1 << 20  # bytes of a file that may be its header
DATA = r"^ElementDataFile[ \t]*=[ \t]*(.*?)[ \t]*\r?$"


def data_files(path: Path) -> list[str]:
    """The files with voxels that a NRRD or MetaImage header names; none when the voxels follow the header."""
    text = header_text(path)
    if text.startswith("NRRD"):
        text = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
        named = re.search(r"^data ?file:[ \t]*(.*?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    else:
        named = re.search(DATA, text, re.MULTILINE)
    if not named or named[1].upper() == "LOCAL":
        return []
    if named[1].upper().startswith("LIST"):
        return [line.strip() for line in text[named.end() :].splitlines() if line.strip()]
    return [re.split(r"\s+(?=-?\d)", named[1])[0]] if "%" in named[1] else [named[1]]


def voxel_files(path: Path) -> list[Path]:
    """The files of voxels that a file names, where it is a header; none where it cannot be read."""
    try:
        return [path.parent / name for name in data_files(path)] if is_detached(path) else []
    except OSError:
        return []


def is_detached(path: Path) -> bool:
    """Whether a file may be such a header, by its name."""
    return path.name.lower().endswith(DETACHED_SUFFIXES) and path.is_file()


def header_text(path: Path) -> str:
    """The text of a file as far as it may be its header."""
    with open(path, "rb") as file:
        return file.read(HEADER).decode("latin-1")
