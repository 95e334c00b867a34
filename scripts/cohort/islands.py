"""Small islands of an object, apart from its body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .components import boxes, parts


def without_islands(objects: NDArray[np.integer], smallest: float) -> NDArray[np.integer]:
    """Object numbers (X, Y, Z) without parts, joined by faces, below a share of their object's largest part."""
    kept = objects.copy()
    for number, box in enumerate(boxes(objects), start=1):
        if box is None:
            continue
        numbered, count = parts(objects[box] == number)
        if count < 2:
            continue
        sizes = np.bincount(numbered.ravel())
        sizes[0] = 0
        small = sizes < smallest * sizes.max()
        small[0] = False
        kept[box][small[numbered]] = 0
    return kept
