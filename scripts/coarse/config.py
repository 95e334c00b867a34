"""The config of the coarse stage: a plain network of axial slices, or one of whole volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..job.overlays import is_for

SLICES, VOLUMES = 2, 3  # what coarse_dims may be
OF_SLICES, OF_VOLUMES = "segment", "coarse"  # the configs
VOLUMES_ALONE = (  # keys that a network of axial slices does not have: numbers with one mean one of whole volumes
    *("coarse_network", "coarse_channels", "coarse_strides", "coarse_kernel", "coarse_organs"),
    *("coarse_command", "tool_maps"),
    *("rotation", "scaling", "translation", "val_cases"),
)


def coarse_config(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the config that trains the network of the attention maps, and numbers it needs besides those given.

    It is a plain network of axial slices, unless the numbers have ``coarse_dims: 3`` or mean one of whole volumes by
    keys that only such a one has, or by cross-fitting.

    Args:
        given: a user's numbers: keys of the configs.
    """
    of_volumes = given.get("labelled_maps") == "cross-fitted" or any(
        given.get(key) is not None for key in VOLUMES_ALONE
    )
    if given.get("coarse_dims", VOLUMES if of_volumes else SLICES) != SLICES:
        return OF_VOLUMES, {}
    numbers: dict[str, Any] = {"coarse_dims": SLICES}
    spacing = given.get("spacing")
    if isinstance(spacing, list) and "coarse_spacing" not in given and is_for(given, OF_SLICES):
        numbers["coarse_spacing"] = [*spacing[:2], 0]  # as the queries have it
    return OF_SLICES, numbers
