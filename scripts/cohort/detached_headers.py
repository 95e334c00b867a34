"""Checks of NRRD and MetaImage files, whose headers may name other files that hold the voxels."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from ..voxel_files import DATA, data_files, header_text, is_detached
from .volume_errors import VolumeError, require_file

INFLATED_BYTES = 1 << 20  # bytes decompressed at once
GZIP_OR_ZLIB = 47  # zlib detects which


def require_beside(path: Path) -> None:
    """Refuse a header whose voxels are in another folder, or not in a regular file.

    Raises:
        VolumeError: for those.
    """
    for name in data_files(path) if is_detached(path) else ():
        data = path.parent / name
        if data.parent.resolve() != path.parent.resolve():
            raise VolumeError("data_elsewhere", "it names a file in another folder")
        require_file(data)


def require_inflated(path: Path) -> None:
    """Refuse a MetaImage whose compressed voxels are damaged: ITK would return uninitialised memory.

    Raises:
        VolumeError: for those.
    """
    text = header_text(path) if is_detached(path) else ""
    if not re.search(r"^CompressedData[ \t]*=[ \t]*True", text, re.MULTILINE):
        return
    files = data_files(path)
    named = re.search(DATA, text, re.MULTILINE)
    with open(path.parent / files[0] if files else path, "rb") as file:
        file.seek(0 if files or not named else text.index("\n", named.end()) + 1)
        inflating = zlib.decompressobj(GZIP_OR_ZLIB)
        try:
            while not inflating.eof and (block := inflating.unconsumed_tail or file.read(INFLATED_BYTES)):
                inflating.decompress(block, INFLATED_BYTES)
        except zlib.error as error:
            raise VolumeError("damaged_gzip", str(error)) from error
    if not inflating.eof:
        raise VolumeError("damaged_gzip", "it ends before all voxels were read")
