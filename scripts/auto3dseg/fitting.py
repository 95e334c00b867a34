"""Numbers of the stages derived from Auto3DSeg's analysis of the data, and from the memory of the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from monai.bundle import ConfigParser

from ..bundle_folder import bundle_folder, configs
from ..coarse.config import OF_SLICES
from .flat_names import TRAINED

LARGE_MEMORY = 12.0  # GiB of a GPU from which the numbers of standard.yaml are taken
LONGEST_AXIS = {False: 160, True: 256}  # voxels of the query grid along a scan's longest axis, at most; True: large GPU
MULTIPLE = 8  # the coarse U-Net halves each axis three times, and so does an encoder
SMALLEST_PATCH = 32  # voxels
QUERIES_AT_ONCE = 256  # of inference on such a GPU
SLICES_PER_STEP = 12  # of the coarse stage on such a GPU
OF_PATCHES = ("segment_patch", "segment_spacing")  # of plain networks of 3-D patches, which are no part of the chain


def device_memory() -> float:
    """GiB of the first GPU's memory; 0 without one."""
    return torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else 0.0


def for_memory(memory: float, shared: Mapping[str, Any], coarse: str) -> dict[str, dict[str, Any]]:
    """Numbers by stage for a GPU of so much memory (GiB): those of standard.yaml, or none.

    Args:
        memory: of the device.
        shared: numbers of common.yaml, which names those that all stages share.
        coarse: config of the coarse stage.
    """
    if memory < LARGE_MEMORY:
        return {}
    numbers = ConfigParser.load_config_file(configs(bundle_folder())["standard"])
    lengths = {key: numbers[key] for key in ("max_epochs", "epoch_length")}
    common = {key: value for key, value in numbers.items() if key in shared and key not in OF_PATCHES}
    return {
        "common": common,
        **{stage: dict(lengths) for stage in TRAINED},
        "coarse": {**lengths, **({"batch_size": SLICES_PER_STEP} if coarse == OF_SLICES else {})},
        "inference": {"batch_size": QUERIES_AT_ONCE},
    }


def fit(stats: Mapping[str, Any], modality: str, shared: Mapping[str, Any], large: bool = False) -> dict[str, Any]:
    """Shared numbers for a data set: channels, window, spacing and patch of the query grid, sizes of the coarse grids.

    CT is windowed to the middle 80 % of the labelled voxels' intensities, widened by the same range on either side (gas
    in a stomach is far outside); MR, and images of several channels, by each volume's and channel's own percentiles.
    The query grid has the median scan's spacing, or a coarser one at which the longest axis has 160 voxels (256 on a
    large GPU); for axial patches each scan keeps its own slices. A patch is no larger than common.yaml's or, in
    multiples of 8 voxels, the median scan on that grid, and neither are a slice and the grid of the coarse network.

    Args:
        stats: content of Auto3DSeg's datastats.yaml.
        modality: CT or MR.
        shared: numbers of common.yaml, with the user's own.
        large: whether there is a GPU of ``LARGE_MEMORY``.
    """
    summary = stats["stats_summary"]
    images = summary["image_stats"]
    shape, size, voxel = (images[what]["median"] for what in ("shape", "sizemm", "spacing"))
    coarsest = max(size) / LONGEST_AXIS[large]
    spacing = [round(max(own, coarsest), 2) for own in voxel]
    sides = [math.ceil(extent / step) for extent, step in zip(size, spacing, strict=True)]
    if shared["spatial_dims"] == 2:
        spacing[2] = 0
    coarse = [min(most, _rounded(own)) for own, most in zip(shape, shared["coarse_size"], strict=True)]
    whole = [min(most, _rounded(own)) for own, most in zip(sides[:2], shared["segment_size"], strict=True)]
    patch = min(shared["patch_size"], max(SMALLEST_PATCH, _rounded(max(sides[: shared["spatial_dims"]]))))
    several = channels(stats)
    window = "percentile" if several > 1 else _window(summary, modality)
    more = {"image_channels": several} if several > 1 else {}
    sizes = {"patch_size": patch, "segment_size": whole, "coarse_size": coarse}
    return {"window": window, "spacing": spacing, **sizes, **more}


def _rounded(count: float) -> int:
    return -(-int(count) // MULTIPLE) * MULTIPLE


def channels(stats: Mapping[str, Any]) -> int:
    """Largest number of channels of any image."""
    return int(stats["stats_summary"]["image_stats"]["channels"]["max"])


def _window(summary: Mapping[str, Any], modality: str) -> list[float] | str:
    if modality == "MR":
        return "percentile"
    intensity = summary["image_foreground_stats"]["intensity"]
    low, high = float(intensity["percentile_10_0"]), float(intensity["percentile_90_0"])
    return [round(low - (high - low)), round(high + (high - low))]
