"""What makes a volume unusable: the kinds of errors of readers, and limits on files, sizes and affines.

``intake`` reports the same kinds as findings, beside those of its own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemclError

MAX_VOXELS = 800_000_000  # 512 x 512 x 3,000 are within; 3.2 GB in single precision
LIMIT = "SEMCL_MAX_VOXELS"  # environment variable: another limit, for every command and stage
SMALLEST, LARGEST = 0.01, 100.0  # mm, of a voxel along an axis
TOLERANCE = 0.01  # mm, of spacing, origin and any entry of an affine
ERROR, WARNING, NOTE = "error", "warning", "note"
EXPORT_AGAIN = "export the file again, or take the case out of the cohort"


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding.

    Args:
        severity: "error" stops, "warning" and "note" do not.
        problem: one line saying what is wrong.
        expected: what should have been there.
        remedy: what the user can do about it.
        unusable: no stage can work with the case; when the finding is allowed the case is left out.
    """

    severity: str
    problem: str
    expected: str
    remedy: str
    unusable: bool = False


def unusable(problem: str, expected: str, remedy: str) -> FindingKind:
    """The kind of a finding that no stage can work with."""
    return FindingKind(ERROR, problem, expected, remedy, unusable=True)


READER_FINDINGS = {
    "unreadable": unusable(
        "a volume cannot be read",
        "a readable 3-D volume (NIfTI, NRRD, MHA, a DICOM series) or picture (PNG, JPEG)",
        EXPORT_AGAIN,
    ),
    "not_a_file": unusable(
        "a path that is neither a file nor a folder",
        "a regular file",
        "copy its content into a file: pipes and devices are not read",
    ),
    "too_large": unusable(
        "a volume with too many voxels",
        "at most 800 million voxels, or the limit set by --max_voxels or SEMCL_MAX_VOXELS",
        "check the header; if it is right, pass --max_voxels, and set SEMCL_MAX_VOXELS for the stages",
    ),
    "damaged_gzip": unusable(
        "compressed voxels are damaged", "a matching checksum, and nothing after the voxels", "copy the file again"
    ),
    "data_elsewhere": unusable(
        "a header whose voxels are in another folder",
        "voxels in the file itself or beside it",
        "put header and voxels into one folder, or convert them to one file",
    ),
    "voxel_type": unusable(
        "voxels that are not single numbers", "integer or real voxels", "save the magnitude, or one channel"
    ),
    "bad_affine": unusable(
        "an affine that gives voxels no size", "voxels of a finite size above 0 mm along three directions", EXPORT_AGAIN
    ),
    "voxel_size": unusable(
        "an implausible voxel size", "0.01 to 100 mm along each axis", "correct the spacing: it is in mm"
    ),
    "doubled_slices": unusable(
        "several slices at the same position",
        "one slice per position",
        "use one folder per series: two phases may be mixed",
    ),
    "pixels_missing": unusable(
        "pixels are missing", "as many pixels as the header states", "export or copy the file again"
    ),
    "unplaced_slices": unusable(
        "slices without a valid pixel size, position or orientation",
        "PixelSpacing, ImagePositionPatient, and ImageOrientationPatient of two unit vectors at right angles",
        "export the series with these attributes, or take the case out of the cohort",
    ),
    "mixed_slices": unusable(
        "slices that do not belong together",
        "one patient and one modality per series",
        "remove the slices that do not belong to the series",
    ),
    "picture_turned": unusable(
        "a picture with an EXIF rotation",
        "pixels stored upright (EXIF orientation 1)",
        "rotate the pixels and drop the tag (`magick mogrify -auto-orient`), and the label map likewise",
    ),
    "label_lossy": unusable(
        "a label map with lossy compression", "a PNG", "export the label map again from its source, as a PNG"
    ),
}


class VolumeError(ValueError):
    """What makes a file unusable.

    Args:
        kind: name of a kind of finding, as in ``READER_FINDINGS``.
        found: what was there, in one line.
    """

    def __init__(self, kind: str, found: str) -> None:
        self.kind, self.found = kind, found
        super().__init__(kind, found)

    def __str__(self) -> str:
        return self.found


def kind_of(error: Exception) -> str:
    """Name of the kind of finding that a reader's error is."""
    return error.kind if isinstance(error, VolumeError) else "unreadable"


def first_line(error: Exception) -> str:
    """The first informative line of a reader's error: ITK's very first names a file of its own source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    of_itk = [line for line in lines if line.startswith("ITK ERROR")]
    return (of_itk or lines or [type(error).__name__])[0]


def max_voxels() -> int:
    """The largest number of voxels a volume may have, from the environment if it is set there.

    Raises:
        SemclError: when the environment variable is not a number.
    """
    given = os.environ.get(LIMIT, str(MAX_VOXELS))
    if not given.isdecimal() or len(given) > 18 or not int(given):
        raise SemclError(
            f"{LIMIT} is not a number of voxels", found=given[:40], expected="1, 2, ...", remedy=f"set or unset {LIMIT}"
        )
    return int(given)


def require_file(path: Path) -> None:
    """Refuse what would block a reader: a named pipe, a device, a socket.

    Raises:
        VolumeError: for those.
    """
    if path.exists() and not path.is_file():
        raise VolumeError("not_a_file", "a named pipe, a device or a socket")


def require_size(shape: Sequence[int], most: int) -> None:
    """Refuse a volume with too many voxels.

    Args:
        shape: from the file's header, before anything is decompressed.
        most: the largest number of voxels.

    Raises:
        VolumeError: when there are more.
    """
    if math.prod(map(int, shape)) > most:
        raise VolumeError("too_large", f"{' x '.join(map(str, shape))} voxels, over the limit of {most:,}")


def require_place(affine: NDArray[np.floating]) -> None:
    """Refuse an affine (4, 4) that gives voxels no size, or an implausible one.

    Raises:
        VolumeError: for those.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    found = f"voxels of {' x '.join(f'{size:.4g}' for size in sizes)} mm"
    with np.errstate(divide="ignore", invalid="ignore"):
        independent = abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-3
    if not (np.isfinite(affine).all() and (sizes > 0).all() and independent):
        raise VolumeError("bad_affine", found)
    if sizes.min() < SMALLEST or sizes.max() > LARGEST:
        raise VolumeError("voxel_size", found)
