"""Attributes as stored in files, which readers silently replace."""

import struct

import numpy as np
import pytest

from scripts.cohort.raw_headers import inspect_jpeg, pixels_missing, png_orientation, replaced_attributes

PIXELS = b"\xe0\x7f\x10\x00"
TIFF = b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 274, 3, 1, 6, 0)  # orientation 6
STATED = {
    "PixelSpacing": "2\\1",
    "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
    "ImagePositionPatient": "1\\2\\3",
}


@pytest.mark.parametrize(
    ("stored", "missing"), [(8, None), (3, "5 of 8 bytes"), (0, "8 of 8 bytes")], ids=["all", "some", "none"]
)
def test_missing_pixels_are_counted(stored, missing, tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"DICM" + PIXELS + b"OW\0\0" + struct.pack("<I", stored) + bytes(stored))
    assert pixels_missing(tmp_path / "a.dcm", 8) == missing


@pytest.mark.parametrize("whole", [True, False])
def test_items_of_compressed_pixels_must_be_complete(whole, tmp_path):
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", 4) + b"data"
    end = b"\xfe\xff\xdd\xe0" + bytes(4) if whole else b""
    (tmp_path / "a.dcm").write_bytes(b"DICM" + PIXELS + b"OB\0\0" + b"\xff" * 4 + item + end)
    assert pixels_missing(tmp_path / "a.dcm", 8) == (None if whole else "the last of its compressed pixels")


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("text", ["", "9\\9\\9", "x"])
def test_replaced_attributes_are_named(name, text):
    used = np.eye(3), np.array([1.0, 2.0, 3.0]), [1.0, 2.0]
    assert replaced_attributes(STATED, *used) == []
    assert replaced_attributes(STATED | {name: text}, *used) == [name]


def test_a_jpeg_is_complete_with_its_end_and_has_its_orientation(tmp_path):
    exif = b"Exif\0\0" + TIFF
    content = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b"\xff\xda\0\2pixels"
    for end, complete in ((b"\xff\xd9", True), (b"", False)):
        (tmp_path / "a.jpg").write_bytes(content + end)
        assert inspect_jpeg(tmp_path / "a.jpg") == (complete, 6)


def test_the_orientation_of_a_png_comes_before_its_pixels(tmp_path):
    for content, orientation in ((b"eXIf" + TIFF + b"IDAT", 6), (b"IDATeXIf" + TIFF, 1), (b"IDAT", 1)):
        (tmp_path / "a.png").write_bytes(bytes(8) + content)
        assert png_orientation(tmp_path / "a.png") == orientation
