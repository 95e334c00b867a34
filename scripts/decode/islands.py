"""Small islands of an organ, apart from its body, are taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.transforms import Transform

from ..cohort.islands import without_islands


class RemoveIslands(Transform):
    """Set parts of an organ that are small beside its largest part to background.

    Args:
        smallest: parts below this share of the largest part's volume go; 0 keeps all, 1 keeps the largest alone.
    """

    def __init__(self, smallest: float) -> None:
        self.smallest = smallest

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """``data`` with "pred", object numbers (1, X, Y, Z), without its islands."""
        if not self.smallest:
            return dict(data)
        objects = data["pred"].cpu().numpy()
        return {**data, "pred": torch.from_numpy(without_islands(objects[0], self.smallest)[None])}
