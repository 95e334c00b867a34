"""Numbers of the stages that follow from what Auto3DSeg's analysis found in the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SemclError

ACROSS = 160  # voxels of the query grid along the longest axis of a scan, at most
LEVEL = 8  # the coarse U-Net halves each axis three times


def fit(stats: Mapping[str, Any], modality: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Shared numbers for a data set: window, spacing of the query grid, size of the coarse grid.

    CT is windowed to the middle 80 % of the labelled voxels' intensities and as much again on either side (gas in a
    stomach is far outside), MR by each volume's own percentiles. The query grid is as fine as the median scan, or so
    coarse that its longest axis has 160 voxels; of axial patches the axis along the body stays as it was scanned. The
    coarse grid is at most the one of common.yaml, at most the median scan's.

    Args:
        stats: the content of Auto3DSeg's datastats.yaml.
        modality: CT or MR.
        shared: common.yaml, with the user's own numbers.

    Raises:
        SemclError: for stats of images of several channels.
    """
    summary = stats["stats_summary"]
    images = summary["image_stats"]
    if channels(stats) != 1:
        raise SemclError(
            "images of several channels",
            found=f"{channels(stats)} channels",
            expected="one: SemCL looks at one channel",
            remedy="name one file an image in the datalist, or leave SemCL out of `algos`",
        )
    shape, size, voxel = (images[what]["median"] for what in ("shape", "sizemm", "spacing"))
    coarsest = max(size) / ACROSS
    spacing = [round(max(own, coarsest), 2) for own in voxel]
    if shared["spatial_dims"] == 2:
        spacing[2] = 0
    coarse = [min(most, -(-int(own) // LEVEL) * LEVEL) for own, most in zip(shape, shared["coarse_size"], strict=True)]
    return {"window": _window(summary, modality), "spacing": spacing, "coarse_size": coarse}


def channels(stats: Mapping[str, Any]) -> int:
    """Channels of the images, the most there are."""
    return int(stats["stats_summary"]["image_stats"]["channels"]["max"])


def _window(summary: Mapping[str, Any], modality: str) -> list[float] | str:
    if modality == "MR":
        return "percentile"
    intensity = summary["image_foreground_stats"]["intensity"]
    low, high = float(intensity["percentile_10_0"]), float(intensity["percentile_90_0"])
    return [round(low - (high - low)), round(high + (high - low))]
