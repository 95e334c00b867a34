"""DICOM and EXIF attributes as stored in the file: readers silently replace missing or invalid ones."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ENDLESS = 0xFFFFFFFF  # length of compressed pixels, which are stored as items
DEFLATED = b"1.2.840.10008.1.2.1.99"
AGREE = 1e-2  # of a direction cosine; of a spacing, as its share; mm of a place
START_OF_SCAN, END_OF_IMAGE, EXIF = 0xDA, b"\xff\xd9", 0xE1


def pixels_missing(path: Path, expected: int) -> str | None:
    """How many bytes of a DICOM file's pixels are missing; None when none are.

    GDCM returns uninitialised memory for missing pixels.

    Args:
        path: of the file.
        expected: bytes of its pixels if they are not compressed.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        most, place = 0, -1
        for tag, order in ((b"\xe0\x7f\x10\x00", "<"), (b"\x7f\xe0\x00\x10", ">")):
            while (place := content.find(tag, place + 1)) >= 0:  # an icon has pixels too
                start, length = _element(content[place : place + 12], order)
                if length == ENDLESS:
                    return None if _items_whole(content, place + start) else "the last of its compressed pixels"
                most = max(most, min(length, len(content) - place - start))
                if most >= expected:
                    return None
        deflated = DEFLATED in content[:1024]
    return None if deflated else f"{expected - most} of {expected} bytes"


def _element(head: bytes, order: str) -> tuple[int, int]:
    """Offset of an element's value, and its length, with explicit or implicit value representation."""
    if head[4:6] in (b"OW", b"OB"):
        return 12, struct.unpack(f"{order}I", head[8:12].ljust(4, b"\0"))[0]
    return 8, struct.unpack(f"{order}I", head[4:8].ljust(4, b"\0"))[0]


def _items_whole(content: mmap.mmap, place: int) -> bool:
    """Whether the items of compressed pixels are complete."""
    while len(head := content[place : place + 8]) == 8:
        tag, length = head[:4], struct.unpack("<I", head[4:])[0]
        if tag == b"\xfe\xff\xdd\xe0":
            return True
        if tag != b"\xfe\xff\x00\xe0":
            return False
        place += 8 + length
    return False


def replaced_attributes(
    stated: dict[str, str], axes: NDArray[np.float64], place: NDArray[np.float64], spacing: Sequence[float]
) -> list[str]:
    """The attributes of a DICOM slice that are missing, or so wrong that GDCM replaced them.

    Args:
        stated: PixelSpacing, ImageOrientationPatient and ImagePositionPatient as text.
        axes: direction cosines (columns, LPS) that GDCM used.
        place: position of the first voxel (LPS mm) that GDCM used.
        spacing: mm along X and Y that GDCM used.
    """
    used = {
        "PixelSpacing": [spacing[1], spacing[0]],
        "ImageOrientationPatient": [*axes[:, 0], *axes[:, 1]],
        "ImagePositionPatient": list(place),
    }
    wrong = []
    for name, numbers in used.items():
        given = _numbers(stated[name])
        agrees = len(given) == len(numbers) and np.allclose(
            given, numbers, rtol=AGREE if name == "PixelSpacing" else 0, atol=0 if name == "PixelSpacing" else AGREE
        )
        if not agrees:
            wrong.append(name)
    return wrong


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split("\\")]
    except ValueError:
        return []


def inspect_jpeg(path: Path) -> tuple[bool, int]:
    """Whether a JPEG file is complete, and its EXIF orientation, 1 for upright."""
    content, place, orientation = path.read_bytes(), 2, 1
    while len(head := content[place : place + 4]) == 4 and head[0] == 0xFF:
        kind, length = head[1], struct.unpack(">H", head[2:])[0]
        if kind == START_OF_SCAN:
            return content.find(END_OF_IMAGE, place) >= 0, orientation
        if kind == EXIF and content[place + 4 : place + 10] == b"Exif\0\0":
            orientation = _orientation(content[place + 10 : place + 2 + length])
        place += 2 + length
    return False, orientation


def png_orientation(path: Path) -> int:
    """The EXIF orientation of a PNG file, 1 for upright."""
    content = path.read_bytes()
    place = content.find(b"eXIf", 8, max(content.find(b"IDAT"), 8))
    return _orientation(content[place + 4 :]) if place >= 0 else 1


def _orientation(tiff: bytes) -> int:
    """Tag 274 of EXIF's first directory; 1 when it is missing."""
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        entries = [struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number) for number in range(count)]
    except struct.error:
        return 1
    return next((int(value) for tag, _, _, value in entries if tag == 274), 1)
