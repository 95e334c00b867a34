"""Pictures made for tests, in PASCAL VOC's layout."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import itk
import numpy as np
from numpy.typing import NDArray

PALETTE = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) * 7 % 256], 1).astype(np.uint8)
CLASSES = {"disc": 1, "square": 2}
BORDER = 255


def write_palette_png(path: Path, indices: NDArray[np.uint8]) -> Path:
    """Write indices (rows, columns) as a PNG with a palette, as VOC's masks are."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows, columns = indices.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in indices)
    chunks = [chunk(b"IHDR", header), chunk(b"PLTE", PALETTE.tobytes()), chunk(b"IDAT", zlib.compress(lines))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b""))
    return path


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write a picture (rows, columns[, 3])."""
    path.parent.mkdir(parents=True, exist_ok=True)
    itk.imwrite(itk.image_from_array(pixels, is_vector=pixels.ndim == 3), str(path))
    return path


def draw(rng: np.random.Generator, rows: int, columns: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A reddish disc, a bluish square or both on a greenish texture, and their mask with an ignored border."""
    texture = rng.normal((70, 120, 70), 18, (rows, columns, 3))
    mask = np.zeros((rows, columns), np.uint8)
    shown = [name for name in CLASSES if rng.random() < 0.7] or ["disc"]
    down, across = np.mgrid[:rows, :columns]
    for name in shown:
        size = rng.uniform(0.14, 0.22) * min(rows, columns)
        middle = rng.uniform(0.25, 0.75, 2) * (rows, columns)
        far = np.hypot(down - middle[0], across - middle[1])
        if name == "square":
            far = np.maximum(abs(down - middle[0]), abs(across - middle[1]))
        texture[far < size] += [110, -40, -30] if name == "disc" else [-30, -40, 110]
        mask[far < size + 1] = BORDER
        mask[far < size - 1] = CLASSES[name]
    return np.clip(texture, 0, 255).astype(np.uint8), mask


def write_voc(root: Path, training: int = 12, testing: int = 6, seed: int = 0) -> Path:
    """Pictures of different sizes, one of them grey, one without a mask, and one that no list names."""
    rng = np.random.default_rng(seed)
    names = [f"2026_{number:06d}" for number in range(training + testing + 1)]
    for number, name in enumerate(names):
        pixels, mask = draw(rng, 96 + 8 * (number % 3), 112 - 8 * (number % 2))
        grey = number == 1
        write_picture(root / "JPEGImages" / f"{name}.jpg", pixels.mean(2).astype(np.uint8) if grey else pixels)
        if number != 2:
            write_palette_png(root / "SegmentationClass" / f"{name}.png", mask)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(names[:training]) + "\n")
    (lists / "val.txt").write_text("\n".join(names[training : training + testing]) + "\n")
    return root
