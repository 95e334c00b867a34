"""The config of the coarse stage: a plain network of axial slices, or one of whole volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import SemclError
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


def require_classes(network: nn.Module, classes: int, size: Sequence[int], channels: int) -> None:
    """Check that a coarse network gives a score for each class and voxel, by a pass over zeros.

    Args:
        network: of whole volumes.
        classes: organs and background.
        size: voxels (X, Y, Z) that a volume is resampled to.
        channels: of the images.

    Raises:
        SemclError: naming both shapes.
    """
    training, device = network.training, next(network.parameters()).device
    with torch.no_grad():
        scores = network.eval()(torch.zeros(1, channels, *size, device=device))
    network.train(training)
    found = list(scores.shape) if isinstance(scores, torch.Tensor) else f"a {type(scores).__name__}"
    if found != [1, classes, *size]:
        raise SemclError(
            "the coarse network does not fit the label table",
            found=f"scores of shape {found} for a volume of {list(size)} voxels",
            expected=f"{[1, classes, *size]}: background and {classes - 1} organs",
            remedy='set `out_channels: "$len(@labels) + 1"` of `coarse_network`, and let it give logits alone',
        )
