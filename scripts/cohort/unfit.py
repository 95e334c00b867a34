"""What readers refuse, each by the name of a finding: no files, too many voxels, voxels of no place."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SemclError

MAX_VOXELS = 800_000_000  # 512 x 512 x 3,000 are within; as single precision 3.2 GB
LIMIT = "SEMCL_MAX_VOXELS"  # environment variable: another limit, for every command and stage
SMALLEST, LARGEST = 0.01, 100.0  # mm, of a voxel along an axis


class Unfit(ValueError):
    """What was found wrong in a file.

    Args:
        kind: a key of ``FINDINGS``.
        found: what was there, in a line.
    """

    def __init__(self, kind: str, found: str) -> None:
        self.kind, self.found = kind, found
        super().__init__(found)


def kind_of(error: Exception) -> str:
    """The kind of finding an error of a reader is."""
    return error.kind if isinstance(error, Unfit) else "unreadable"


def first_line(error: Exception) -> str:
    """What a reader said, in a line: ITK's first one names a file of its source, which tells a user nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ITK ERROR")]
    return (told or lines or [type(error).__name__])[0]


def max_voxels() -> int:
    """The most voxels a volume may have unless told otherwise.

    Raises:
        SemclError: when the environment names no number.
    """
    given = os.environ.get(LIMIT, str(MAX_VOXELS))
    if not given.isdecimal() or len(given) > 18 or not int(given):
        raise SemclError(
            f"{LIMIT} is no number of voxels", found=given[:40], expected="1, 2, ...", remedy=f"set or unset {LIMIT}"
        )
    return int(given)


def require_file(path: Path) -> None:
    """Refuse what would block a reader: a named pipe, a device, a socket.

    Raises:
        Unfit: for those.
    """
    if path.exists() and not path.is_file():
        raise Unfit("not_a_file", "a named pipe, a device or a socket")


def require_size(shape: Sequence[int], most: int) -> None:
    """Refuse a volume of too many voxels.

    Args:
        shape: as the file's header tells it, before anything is inflated.
        most: how many there may be.

    Raises:
        Unfit: for more.
    """
    if math.prod(map(int, shape)) > most:
        raise Unfit("too_large", f"{' x '.join(map(str, shape))} voxels, over the limit of {most:,}")


def require_place(affine: NDArray[np.floating]) -> None:
    """Refuse an affine (4, 4) that gives voxels no size, or one of no scan's.

    Raises:
        Unfit: for those.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    told = f"voxels of {' x '.join(f'{size:.4g}' for size in sizes)} mm"
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-3
    if not (np.isfinite(affine).all() and (sizes > 0).all() and flat):
        raise Unfit("bad_affine", told)
    if sizes.min() < SMALLEST or sizes.max() > LARGEST:
        raise Unfit("voxel_size", told)
