"""Numbers of the stages derived from Auto3DSeg's analysis of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SemclError

LONGEST_AXIS = 160  # voxels of the query grid along the longest axis of a scan, at most
MULTIPLE = 8  # the coarse U-Net halves each axis three times


def fit(stats: Mapping[str, Any], modality: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Shared numbers for a data set: window, spacing of the query grid, size of the coarse grid.

    CT is windowed to the middle 80 % of the labelled voxels' intensities, widened by the same range on either side (gas
    in a stomach is far outside), MR by each volume's own percentiles. The query grid has the median scan's spacing, or
    a coarser one at which the longest axis has 160 voxels; for axial patches each scan keeps its own slices. The coarse
    grid is no larger than common.yaml's or, in multiples of 8 voxels, the median scan's.

    Args:
        stats: content of Auto3DSeg's datastats.yaml.
        modality: CT or MR.
        shared: numbers of common.yaml, with the user's own.

    Raises:
        SemclError: for images of several channels.
    """
    summary = stats["stats_summary"]
    images = summary["image_stats"]
    if channels(stats) != 1:
        raise SemclError(
            "images of several channels",
            found=f"{channels(stats)} channels",
            expected="one: SemCL uses one channel",
            remedy="name one file per image in the datalist, or leave SemCL out of `algos`",
        )
    shape, size, voxel = (images[what]["median"] for what in ("shape", "sizemm", "spacing"))
    coarsest = max(size) / LONGEST_AXIS
    spacing = [round(max(own, coarsest), 2) for own in voxel]
    if shared["spatial_dims"] == 2:
        spacing[2] = 0
    coarse = [
        min(most, -(-int(own) // MULTIPLE) * MULTIPLE) for own, most in zip(shape, shared["coarse_size"], strict=True)
    ]
    return {"window": _window(summary, modality), "spacing": spacing, "coarse_size": coarse}


def channels(stats: Mapping[str, Any]) -> int:
    """Largest number of channels of any image."""
    return int(stats["stats_summary"]["image_stats"]["channels"]["max"])


def _window(summary: Mapping[str, Any], modality: str) -> list[float] | str:
    if modality == "MR":
        return "percentile"
    intensity = summary["image_foreground_stats"]["intensity"]
    low, high = float(intensity["percentile_10_0"]), float(intensity["percentile_90_0"])
    return [round(low - (high - low)), round(high + (high - low))]
