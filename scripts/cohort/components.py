"""Bounding boxes of the objects of a map, and removal of their small connected components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[slice, ...]


def boxes(objects: NDArray[np.integer], count: int | None = None) -> list[Box | None]:
    """The bounding box of each object 1, 2, ... of a map (X, Y, Z); None for an object that is absent.

    Args:
        objects: object numbers, 0 is background.
        count: number of the last object wanted; None for the largest in the map.
    """
    last = int(objects.max(initial=0)) if count is None else count
    if last < 1 or not objects.size:  # scipy would look for the largest number
        return [None] * last
    found: list[Box | None] = ndimage.find_objects(objects, last)
    return found


def without_islands(objects: NDArray[np.integer], smallest: float) -> NDArray[np.integer]:
    """Object numbers (X, Y, Z) without the small connected components of each object.

    Components of voxels that share faces are removed when they are below ``smallest``, a share of the object's largest.
    """
    kept = objects.copy()
    for number, box in enumerate(boxes(objects), start=1):
        if box is None:
            continue
        components, count = ndimage.label(objects[box] == number)
        if count < 2:
            continue
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        small = sizes < smallest * sizes.max()
        small[0] = False
        kept[box][small[components]] = 0
    return kept
