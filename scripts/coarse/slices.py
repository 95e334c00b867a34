"""A plain network of axial slices in the coarse network's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .. import ranks
from ..cohort.provenance import SIMULATED
from ..errors import SemclError, one_of
from ..job.config_check import running_parser
from ..job.settings import noted_settings
from ..job.weights import claim_weights
from ..multiclass.grid import SegmentGrid
from ..multiclass.inferer import SegmentInferer
from ..networks.encoder import QueryEncoder
from .attention_folder import claim_attention
from .config import SLICES, VOLUMES
from .inferer import CoarseInferer
from .map_plan import weights_path

SLICES_AT_ONCE = 8
SHIPPED = "$@shared.segmenter"  # network_def of segment.yaml
ENCODER = ("block", "layers", "widths", "image_channels")  # numbers of the encoder


class SlicesInferer(CoarseInferer):
    """Segments a whole volume slice by slice, as ``SegmentInferer`` does.

    Args:
        grid: of the slices.
        size: voxels (X, Y, Z) that the errors of simulated maps are measured in.
        window: intensity window, as ``normalise`` takes it.
        channels: C, channels of the images.
    """

    def __init__(self, grid: SegmentGrid, size: Sequence[int], window: Sequence[float] | str, channels: int) -> None:
        super().__init__(size, window, channels)
        self.slices = SegmentInferer(grid, SLICES_AT_ONCE)

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Segment ``inputs`` (1, C, X, Y, Z; RAS, in the image's own units) into object numbers (1, 1, X, Y, Z).

        Raises:
            SemclError: for scores that are not finite.
        """
        return self.slices(inputs, network)


def coarse_inferer(
    dims: int,
    grid: SegmentGrid,
    size: Sequence[int],
    window: Sequence[float] | str,
    channels: int,
    objects: Sequence[int] | None = None,
) -> CoarseInferer:
    """The inferer of a coarse network.

    Args:
        dims: ``coarse_dims``: 3 for one of whole volumes, 2 for one of axial slices.
        grid: of axial slices.
        size: grid (X, Y, Z) of whole volumes.
        window: intensity window, as ``normalise`` takes it.
        channels: C, channels of the images.
        objects: object number of each of the network's classes after background; None: 1, 2, ...

    Raises:
        SemclError: for another ``dims``.
    """
    one_of("coarse_dims", dims, (SLICES, VOLUMES))
    if dims == VOLUMES:
        return CoarseInferer(size, window, channels, objects)
    return SlicesInferer(grid, size, window, channels)


def require_volumes(dims: int) -> None:
    """Refuse to train a network of whole volumes where one of axial slices is asked for.

    Raises:
        SemclError: saying which config trains that.
    """
    if dims != VOLUMES:
        raise SemclError(
            "coarse.yaml trains a network of whole volumes",
            found=f"coarse_dims {dims}",
            expected=f"coarse_dims {VOLUMES}",
            remedy="run segment.yaml with the same numbers: it trains the network of axial slices",
        )


def require_slices(shared: Any, maps: bool, labelled_maps: str) -> None:
    """Before a plain network is trained in the coarse network's place: refuse what cannot be, and claim its outputs.

    Args:
        shared: what the stages share.
        maps: whether attention is written.
        labelled_maps: how it is made of the cases that are learnt from.

    Raises:
        SemclError: for 3-D patches, a network that later stages could not make, maps of another tool beside it,
            cross-fitted maps, and for folders that hold anything else.
    """
    parser = running_parser()
    config: Any = {} if parser is None else parser.config
    network = config.get("network_def", SHIPPED)
    wrong = {
        "segment_dims": (shared.segment_dims, SLICES),
        "network_def": (network, SHIPPED),
        "tool_maps": (shared.tool_maps, None),
        "coarse_command": (shared.coarse_command, None),
        "coarse_organs": (shared.coarse_organs, None),
    }
    for key, (found, expected) in wrong.items():
        if found != expected:
            raise SemclError(
                "a plain network cannot take the coarse network's place like this",
                found=f"{key} {found}, coarse_dims {SLICES}",
                expected=f"{key} {'null' if expected is None else expected}",
                remedy=f"leave {key} out, or set coarse_dims to {VOLUMES}",
            )
    one_of("labelled_maps", labelled_maps, (SIMULATED, "none"))  # the network is trained once
    cases, weights = shared.cases, weights_path(shared.ckpt_dir, None)
    if maps:
        ranks.first_alone(lambda: claim_attention(shared.attention_dir, cases))
    ranks.first_alone(lambda: claim_weights(weights.parent, [weights.name], shared.labels, cases))


def slices_weights(shared: Any) -> str | None:
    """The weights of the coarse network, where that is one of axial slices with the encoder of a stage; else None.

    Args:
        shared: what the stages share.
    """
    weights = weights_path(shared.ckpt_dir, None)
    noted = noted_settings(weights) or {}
    if noted.get("coarse_dims") != SLICES:
        return None
    other = [key for key in ENCODER if noted.get(key) != getattr(shared, key)]
    if shared.spatial_dims != SLICES or type(shared.encoder) is not QueryEncoder:
        other = ["form"]
    if other and ranks.number() == 0:
        print(f"not begun with the encoder of {weights}, which has another {', '.join(other)}")
    return None if other else str(weights)
