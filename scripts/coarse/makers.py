"""What makes an attention map, as a short hash that the map carries: network or label map, and another tool's map."""

from __future__ import annotations

import zlib

import numpy as np
from torch import nn

from ..cohort.case import Case
from ..files import checksum
from ..freshness import key
from ..intake.given_maps import ToolMaps


def maker_of(case: Case, by: int, tool: ToolMaps | None) -> str:
    """The maker of a case's map.

    Args:
        case: the case.
        by: checksum of the network that predicted it, or of what it was simulated from.
        tool: maps of another tool, whose organs come from there; with what their numbers mean.
    """
    given = None
    if tool is not None and tool.used:
        given = [tool.numbers, [[path.name, checksum(path)] for path in tool.sources(case.id)]]
    return key([by, given])[:8]


def network_checksum(network: nn.Module) -> int:
    """CRC-32 of a network's weights."""
    total = 0
    for value in network.state_dict().values():
        total = zlib.crc32(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes(), total)
    return total


def label_checksum(case: Case, errors: float) -> int:
    """CRC-32 of a case's label map and of the size of the errors that are simulated in it."""
    return zlib.crc32(repr(errors).encode(), checksum(case.label) if case.label is not None else 0)
