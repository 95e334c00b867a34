"""What is wrong with the headers of a scan's files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cohort.dicom import is_dicom
from ..cohort.header import Header, read_header
from ..cohort.volume_errors import TOLERANCE, VolumeError, first_line, kind_of, max_voxels, require_place, require_size
from .findings import Finding

SAME_DIRECTION = 1e-3  # of a direction cosine
OBLIQUE = 1.0  # degrees
SHEARED = 0.5  # degrees


def open_header(path: Path, case: str, kind: str, most: int | None = None) -> tuple[Header | None, list[Finding]]:
    """The header of a file and its findings; no header when no stage could read the volume.

    Args:
        path: of the volume.
        case: its case id.
        kind: "image" or "label map", named in findings.
        most: the largest number of voxels; None for the default.
    """

    def finding(name: str, found: str) -> Finding:
        return Finding(case, name, f"{kind} {path}: {found}", identifying(path))

    limit = max_voxels() if most is None else most
    if not os.path.exists(path):  # Path.exists raises when a path is too long
        return None, [Finding(case, "missing_file", f"no {kind} {path}", (path,))]
    if path.is_file() and path.stat().st_size == 0:
        return None, [finding("zero_bytes", "0 bytes")]
    empty = _empty_slices(path) if path.is_dir() else []
    if empty:
        return None, [finding("zero_bytes", f"0 bytes in {', '.join(sorted(empty)[:5])}")]
    try:
        header = read_header(path)
        _require_volume(header)
        require_place(header.affine)
        require_size(header.shape, limit)
    except Exception as error:  # readers raise whatever they like
        return None, [finding(kind_of(error), plain(error, path))]
    return header, [finding(*item) for item in _remarks(header)]


def identifying(path: Path) -> tuple[Path, ...]:
    """Identifying parts of a reader's message: path, name, name without suffix, and names of files in a folder."""
    inside = [Path(file.name) for file in path.iterdir()] if path.is_dir() else []
    return (path, Path(path.name), Path(path.name.split(".")[0]), *inside)


def plain(error: Exception, path: Path) -> str:
    """First line of a reader's error, without paths."""
    text = first_line(error)
    for piece in (str(path), str(path.parent), path.name):
        text = text.replace(piece, "the file")
    return text


def _empty_slices(folder: Path) -> list[str]:
    """Empty files of a series that are named as slices are, but for numbers: these need no suffix."""
    slices = {re.sub(r"\d+", "", file.name) for file in folder.iterdir() if is_dicom(file)}
    empty = [file.name for file in folder.iterdir() if file.is_file() and not file.stat().st_size]
    return [name for name in empty if re.sub(r"\d+", "", name) in slices]


def _require_volume(header: Header) -> None:
    if not 3 <= len(header.shape) <= 4 or any(count != 1 for count in header.shape[3:]) or 0 in header.shape:
        raise VolumeError("not_3d", " x ".join(map(str, header.shape)))


def _remarks(header: Header) -> list[tuple[str, str]]:
    remarks = []
    if len(header.shape) > 3:
        remarks.append(("one_frame", " x ".join(map(str, header.shape))))
    if not header.oriented:
        remarks.append(("no_orientation", "qform and sform codes are 0"))
    if header.forms_apart > TOLERANCE:
        remarks.append(("qform_sform_differ", f"by up to {header.forms_apart:.3g} mm"))
    angles = np.degrees(np.arccos(np.clip(header.directions.T @ header.directions, -1, 1)))
    shear = float(abs(angles[~np.eye(3, dtype=bool)] - 90).max())
    tilt = float(np.degrees(np.arccos(np.clip(abs(header.directions).max(axis=0), 0, 1))).max())
    if shear > SHEARED:
        remarks.append(("sheared", f"axes {shear:.1f} degrees from right angles"))
    elif tilt > OBLIQUE:
        remarks.append(("oblique", f"an axis {tilt:.1f} degrees off"))
    if len(header.series) > 1:
        counts = ", ".join(str(len(series.slices)) for series in header.series)
        remarks.append(("mixed_series", f"{len(header.series)} series of {counts} slices"))
    if header.series and header.series[0].gaps:
        uneven = header.series[0]
        remarks.append(
            (
                "slice_gap",
                f"{uneven.gaps} of {len(uneven.distances)} distances; the longest {uneven.distances.max():.3g} mm",
            )
        )
    return remarks


def compare(image: Header, label: Header, case: str, path: Path) -> Finding | None:
    """How the geometry of a label map differs from its image's, whatever orientations the two are stored in."""
    first, second = image.canonical(), label.canonical()
    if first.shape != second.shape:
        shapes = [" x ".join(map(str, header.shape)) for header in (first, second)]
        found = f"image {shapes[0]}, {path} {shapes[1]} voxels (in RAS)"
        return Finding(case, "shape_differs", found, (path,))
    if abs(first.sizes - second.sizes).max() > TOLERANCE:
        found = f"image {_mm(first.sizes)}, {path} {_mm(second.sizes)} mm"
        return Finding(case, "spacing_differs", found, (path,))
    apart = abs(first.affine - second.affine)
    turned = float(abs(first.directions - second.directions).max())
    if turned > SAME_DIRECTION or apart[:3, :3].max() > TOLERANCE:
        return Finding(case, "direction_differs", f"cosines of {path} differ by up to {turned:.3g}", (path,))
    if apart[:3, 3].max() > TOLERANCE:
        found = f"the first voxel of {path} lies up to {apart[:3, 3].max():.3g} mm off along an axis"
        return Finding(case, "origin_differs", found, (path,))
    return None


def _mm(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
