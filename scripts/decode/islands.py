"""Small islands of an organ, apart from its body, are taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from numpy.typing import NDArray
from scipy import ndimage


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


def without_islands(objects: NDArray[np.integer], smallest: float) -> NDArray[np.integer]:
    """Object numbers (X, Y, Z) without parts, joined by faces, below a share of their object's largest part."""
    kept = objects.copy()
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if box is None:
            continue
        parts, count = ndimage.label(objects[box] == number)
        if count < 2:
            continue
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        small = sizes < smallest * sizes.max()
        small[0] = False
        kept[box][small[parts]] = 0
    return kept
