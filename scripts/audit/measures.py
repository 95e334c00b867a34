"""What costs nothing to know of an object: its size, place, shape, intensities and neighbours, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ObjectMap = NDArray[np.integer]
Inside = NDArray[np.bool_]
AROUND = 2  # voxels around an object that are looked at
MEASURE_GROUPS: Mapping[str, tuple[str, ...]] = {  # what the numbers are about, for reasons in words
    "size": ("log_volume", "extent_x", "extent_y", "extent_z"),
    "place": ("x", "y", "z", "among_x", "among_y", "among_z"),
    "shape": ("compactness", "flatness", "elongation", "log_pieces", "main_piece", "stray", "jump", "first", "last"),
    "intensity": ("mean", "sd", "p10", "p90", "around", "edge", "uneven", "odd_slice"),
    "neighbours": ("contact",),
}
AGREEMENT = ("agreement", "called_other", "called_background", "left_out")  # with the attention map
MEASURES = tuple(name for names in MEASURE_GROUPS.values() for name in names if name != "contact")


def measure_object(
    objects: ObjectMap,
    image: NDArray[np.floating],
    size: Sequence[float],
    number: int,
    box: Sequence[slice],
    centres: Mapping[int, NDArray[np.float64]],
) -> dict[str, float]:
    """The measures of an object, by name.

    Args:
        objects: object numbers (X, Y, Z).
        image: intensities (X, Y, Z) between -1 and 1.
        size: mm of the voxels.
        number: the object.
        box: its bounding box.
        centres: centres (mm) of the map's other objects, by number.
    """
    wide = tuple(
        slice(max(0, part.start - AROUND), min(end, part.stop + AROUND))
        for part, end in zip(box, objects.shape, strict=True)
    )
    mask = objects[wide] == number
    centre = (np.argwhere(mask).mean(0) + [part.start + 0.5 for part in wide]) * np.asarray(size)
    others = [place for other, place in centres.items() if other != number]
    place = centre - np.asarray(objects.shape) * np.asarray(size) / 2
    among = centre - np.mean(others, 0) if others else np.zeros(3)
    values = dict(zip(("x", "y", "z"), place.tolist(), strict=True))
    values |= dict(zip(("among_x", "among_y", "among_z"), among.tolist(), strict=True))
    return values | _shape(mask, size) | _intensities(mask, image[wide].astype(np.float64))


def contacts(objects: ObjectMap, number: int, count: int) -> NDArray[np.float32]:
    """Shares (count + 1,) of an object's surface that touch background and each other object."""
    touched = np.zeros(count + 1)
    for axis in range(3):
        ahead, behind = np.swapaxes(objects, 0, axis)[1:], np.swapaxes(objects, 0, axis)[:-1]
        for one, other in ((ahead, behind), (behind, ahead)):
            beside = one[(other == number) & (one != number)]
            touched += np.bincount(np.maximum(beside, 0).astype(np.int64), minlength=count + 1)[: count + 1]
    shares: NDArray[np.float32] = (touched / max(touched.sum(), 1)).astype(np.float32)
    return shares


def agreement(own: Inside, attention: ObjectMap, number: int, elsewhere: int) -> dict[str, float]:
    """How an object agrees with a map of the same scan by another network: Dice, and shares of where they differ.

    Args:
        own: the object (X, Y, Z) in its bounding box.
        attention: the other map's object numbers there.
        number: of the object.
        elsewhere: voxels of the object that the other map has outside of the box.
    """
    other = attention == number
    both, total, all_of_other = int((own & other).sum()), max(int(own.sum()), 1), int(other.sum()) + elsewhere
    called = attention[own]
    return {
        "agreement": 2 * both / max(total + all_of_other, 1),
        "called_other": float(((called > 0) & (called != number)).mean()) if called.size else 0.0,
        "called_background": float((called == 0).mean()) if called.size else 0.0,
        "left_out": min(4.0, (all_of_other - both) / total),
    }


def _shape(mask: Inside, size: Sequence[float]) -> dict[str, float]:
    """Size and shape of a mask: volume (log mm3), extents (log mm), surface, axes, pieces, areas slice by slice."""
    voxels = np.argwhere(mask) * np.asarray(size)
    volume = len(voxels) * float(np.prod(size))
    extents = np.log(np.ptp(voxels, axis=0) + np.asarray(size))
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(voxels.T) if len(voxels) > 1 else np.eye(3)), 0.0)) + min(size)
    padded = np.pad(mask, 1)
    faces = [int(np.diff(padded, axis=axis).sum()) * math.prod(size) / size[axis] for axis in range(3)]
    labels, pieces = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    main = int(np.argmax(sizes)) + 1
    centres = np.asarray(ndimage.center_of_mass(mask, labels, range(1, pieces + 1))) * np.asarray(size)
    stray = float((np.linalg.norm(centres - centres[main - 1], axis=1) * sizes / sizes.sum()).sum())
    areas = mask.sum((0, 1)).astype(float)
    areas = np.trim_zeros(areas) / areas.max()
    return {
        "log_volume": math.log(volume),
        **dict(zip(("extent_x", "extent_y", "extent_z"), extents.tolist(), strict=True)),
        "compactness": math.log(sum(faces) / volume ** (2 / 3)),
        "flatness": float(np.log(axes[0] / axes[1])),
        "elongation": float(np.log(axes[2] / axes[1])),
        "log_pieces": math.log(pieces),
        "main_piece": float(sizes.max() / sizes.sum()),
        "stray": math.log1p(stray),
        "jump": float(np.abs(np.diff(areas)).max()) if len(areas) > 1 else 0.0,
        "first": float(areas[0]),
        "last": float(areas[-1]),
    }


def _intensities(mask: Inside, image: NDArray[np.float64]) -> dict[str, float]:
    """Intensities in a mask and around it, at its edge, and how much its octants and slices differ."""
    inside = image[mask]
    around = image[ndimage.binary_dilation(mask, iterations=AROUND) & ~mask]
    core = ndimage.binary_erosion(mask)
    rim = image[mask & ~core]
    beside = image[ndimage.binary_dilation(mask) & ~mask]
    low, high = np.quantile(inside, (0.1, 0.9))
    voxels = np.argwhere(mask)
    octants = (voxels > voxels.mean(0)) @ np.array([4, 2, 1])
    means = _means(octants, inside, least=max(3, len(inside) // 50))
    slices = _means(voxels[:, 2], inside, least=3)
    middle = float(np.median(inside))
    return {
        "mean": float(inside.mean()),
        "sd": float(inside.std()),
        "p10": float(low),
        "p90": float(high),
        "around": float(around.mean()) if around.size else 0.0,
        "edge": float(rim.mean() - beside.mean()) if beside.size and rim.size else 0.0,
        "uneven": float(np.abs(means - middle).max()) if means.size else 0.0,
        "odd_slice": float(np.abs(slices - middle).max()) if slices.size else 0.0,
    }


def _means(groups: NDArray[np.integer], values: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """Means of the groups that have at least ``least`` values."""
    counts = np.bincount(groups)
    sums = np.bincount(groups, values)
    enough = counts >= least
    means: NDArray[np.float64] = sums[enough] / counts[enough]
    return means
