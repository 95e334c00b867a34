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
    whole = _extent(objects)
    if last < 1 or whole is None:  # scipy would look for the largest number
        return [None] * last
    return [box and _shifted(box, whole) for box in ndimage.find_objects(objects[whole], last)]


def _extent(objects: NDArray[np.integer]) -> Box | None:
    """The box of all voxels that are not background, found faster than each object's; None without any."""
    box: Box = ()
    for axis in range(objects.ndim):
        shown = np.flatnonzero(objects[box].any(tuple(other for other in range(objects.ndim) if other != axis)))
        if not len(shown):
            return None
        box = (*box, slice(int(shown[0]), int(shown[-1]) + 1))
    return box


def _shifted(box: Box, within: Box) -> Box:
    """A box of a box, in voxels of the whole."""
    return tuple(
        slice(outer.start + side.start, outer.start + side.stop) for side, outer in zip(box, within, strict=True)
    )


def on_slices(objects: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """Whether each of the objects 1 to ``count`` of a map (X, Y, Z) is on each axial slice, (count, Z)."""
    shown = np.zeros((count, objects.shape[2]), np.bool_)
    for number, box in enumerate(boxes(objects, count), start=1):
        if box is not None:
            shown[number - 1, box[2]] = (objects[box] == number).any((0, 1))
    return shown


def without_islands(objects: NDArray[np.integer], smallest: float) -> NDArray[np.integer]:
    """Object numbers (X, Y, Z) without the small connected components of each object.

    Components of voxels that share faces are removed when they are below ``smallest``, a share of the object's largest.
    Without any to remove, the given map is returned.
    """
    kept = objects
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
        if not small.any():
            continue
        kept = objects.copy() if kept is objects else kept
        kept[box][small[components]] = 0
    return kept
