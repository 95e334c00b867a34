"""Pictures: PNG and JPEG files as volumes of one slice, and label maps as PNG files of indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import SemclError
from ..files import written_whole
from .raw_headers import inspect_jpeg, png_orientation
from .volume_errors import VolumeError

if TYPE_CHECKING:  # slow to import
    from monai.data import MetaTensor

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
UPRIGHT = (0, 1)  # EXIF's orientation: not given, or as stored
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # index to RAS mm: pixels of 1 mm, columns to the left, rows to the back


def is_photo(path: Path | str) -> bool:
    """Whether a file is a picture, by its name."""
    return Path(path).name.lower().endswith(PICTURE_SUFFIXES)


def without_previews(paths: Sequence[Path]) -> list[Path]:
    """The paths that are not pictures, or all if there are no others: beside scans, pictures are mere previews."""
    others = [path for path in paths if not is_photo(path)]
    return others or list(paths)


def read_photo(path: Path, indices: bool = False) -> MetaTensor:
    """A picture as a volume (C, X, Y, 1) that is upright in radiological display.

    Args:
        path: of the file.
        indices: return the palette's indices instead of its colours, for label maps.

    Raises:
        ValueError: when there are neither one nor three channels, not counting transparency.
        VolumeError: for a label map that is a JPEG, a truncated JPEG, and a picture with an EXIF rotation.
    """
    import itk  # slow to import, as the others are
    import torch
    from monai.data import MetaTensor

    _require_upright(path, indices)
    reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    if reader is None:
        raise ValueError("no reader knows this file")
    if hasattr(reader, "SetExpandRGBPalette"):
        reader.SetExpandRGBPalette(not indices)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    pair = reader.GetNumberOfComponents() == 2  # grey and transparency, which ITK would read as complex numbers
    image = itk.imread(str(path), pixel_type=itk.Vector[itk.F, 2] if pair else None, imageio=reader)
    pixels = np.asarray(itk.array_from_image(image))
    planes = pixels[..., None] if pixels.ndim == 2 else pixels  # rows, columns, channels
    if planes.ndim != 3 or planes.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"{pixels.shape} is not a picture of one or three channels")
    kept = planes[..., : 1 if planes.shape[2] < 3 else 3]  # without transparency
    volume = torch.from_numpy(np.ascontiguousarray(kept.transpose(2, 1, 0), np.float32))[..., None]
    affine = torch.from_numpy(AFFINE)
    return MetaTensor(volume, affine=affine, meta={"original_affine": AFFINE, "filename_or_obj": str(path)})


def _require_upright(path: Path, indices: bool) -> None:
    """Refuse a picture whose pixels its reader would misinterpret."""
    with open(path, "rb") as file:
        jpeg = file.read(2) == b"\xff\xd8"
    if jpeg and indices:
        raise VolumeError("label_lossy", "a JPEG")
    complete, orientation = inspect_jpeg(path) if jpeg else (True, png_orientation(path))
    if not complete:
        raise VolumeError("pixels_missing", "the file is truncated")
    if orientation not in UPRIGHT:
        raise VolumeError("picture_turned", f"EXIF orientation {orientation}")


def with_channels(volume: MetaTensor, path: str | Path, case: str, channels: int, indices: bool) -> MetaTensor:
    """A picture with the number of channels wanted: a single one is repeated.

    Args:
        volume: (C, X, Y, 1), as ``read_photo`` gives it.
        path: its file, named in errors.
        case: its case id.
        channels: C wanted.
        indices: whether it is a label map.

    Raises:
        SemclError: when it has another number of channels.
    """
    if len(volume) == 1:
        return cast("MetaTensor", volume.repeat(channels, 1, 1, 1))
    if len(volume) == channels:
        return volume
    raise SemclError(
        "a picture has other channels than it should",
        case=case,
        found=f"{path} with {len(volume)} channels",
        expected="one channel, the index of each pixel" if indices else f"image_channels: {channels}",
        remedy=(
            "save the label map as a PNG with a palette, or with grey values that are indices"
            if indices
            else "set image_channels to 3, by bundle/configs/natural.yaml, say"
        ),
    )


def write_photo(path: Path, indices: NDArray[np.integer]) -> None:
    """Write a label map (X, Y, 1), as ``read_photo`` has it, as a PNG of one channel, with 16 bits when needed."""
    import itk

    pixels = np.ascontiguousarray(indices[..., 0].T)
    kind = np.uint8 if pixels.max(initial=0) < 256 else np.uint16
    with written_whole(path) as aside:
        itk.imwrite(itk.image_from_array(pixels.astype(kind)), str(aside))
