"""One volume: read through MONAI, turned to RAS, checked, windowed, brought onto another grid."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage, Orientation
from numpy.typing import NDArray
from torch.nn import functional

from ..errors import SemclError
from .dicom import SeriesReader
from .labels import LabelTable

AFFINE_TOLERANCE = 1e-2  # mm, of any entry
PERCENTILES = (0.01, 0.99)  # of `window: percentile`
SAMPLE = 1_000_000  # voxels they are taken from
SLAB = 1 << 20  # voxels of a volume changed at once
LINE = 8  # voxels from which on an axis is summed line by line


def load(path: str | Path) -> MetaTensor:
    """Voxels (C, X, Y, Z) as stored, by MONAI's readers, unchecked; a folder is read as a DICOM series."""
    reader = SeriesReader() if Path(path).is_dir() else None
    loaded: MetaTensor = _loader()(path, reader)  # named here, for else others are tried after it fails
    return loaded


@cache
def _loader() -> LoadImage:
    """MONAI's, which where pydicom is installed says at each making that a decoder for GPUs is not."""
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LoadImage(image_only=True, ensure_channel_first=True, dtype=np.float32)


def load_canonical(path: str | Path) -> MetaTensor:
    """What ``load`` reads, turned to RAS."""
    return cast(MetaTensor, Orientation(axcodes="RAS", labels=None)(load(path)))


def read(path: str | Path, case: str) -> MetaTensor:
    """Read a 3-D volume as a MetaTensor (1, X, Y, Z) turned to RAS; raises what ``read_stored`` does."""
    return cast(MetaTensor, Orientation(axcodes="RAS", labels=None)(read_stored(path, case)))


def read_stored(path: str | Path, case: str) -> MetaTensor:
    """Read a 3-D volume as a MetaTensor (1, X, Y, Z) in the orientation it is stored in.

    Raises:
        SemclError: when the file is missing, cannot be read, is not 3-D or holds NaN or infinite voxels.
    """
    expected = "a readable 3-D volume (NIfTI, NRRD, MHA, a DICOM series)"
    if not Path(path).exists():
        raise SemclError(
            "a file of the datalist is missing",
            case=case,
            found=f"no {path}",
            expected=expected,
            remedy="restore the file, or run `python -m scripts prepare` again",
        )
    try:
        volume = load(path)
    except Exception as error:  # readers raise whatever they like
        raise SemclError(
            "a volume cannot be read",
            case=case,
            found=f"{path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected=expected,
            remedy="export the file again, or take the case out of the cohort",
        ) from error
    if volume.ndim != 4 or volume.shape[0] != 1:
        raise SemclError(
            "a volume is not 3-D",
            case=case,
            found=f"{path} of shape {tuple(volume.shape[1:])} with {volume.shape[0]} channels",
            expected="three axes, one channel",
            remedy="split the file into one 3-D volume a case",
        )
    if not bool(torch.isfinite(volume.as_tensor()).all()):
        raise SemclError(
            "a volume holds voxels that are no numbers",
            case=case,
            found=f"NaN or infinity in {path}",
            expected="finite voxels",
            remedy="export the file again, or replace these voxels by the value of air",
        )
    return volume


def read_objects(
    path: str | Path, image: MetaTensor, case: str, table: LabelTable, like: str = "image"
) -> NDArray[np.uint16]:
    """Read a label map that lies on the voxels of ``image`` as object numbers (X, Y, Z), both in RAS.

    ``like`` is what ``image`` is called in errors.

    Raises:
        SemclError: when shape or affine differ from the image's, or a value is not in the table.
    """
    label = read(path, case)
    remedy = f"resample {path} onto the {like}, or take the case out of the cohort"
    if label.shape != image.shape:
        found = f"{like} {_by(image.shape[1:])}, {Path(path).name} {_by(label.shape[1:])} voxels (in RAS)"
        raise SemclError(
            f"{like} and label map differ in shape", case=case, found=found, expected="the same shape", remedy=remedy
        )
    apart = float((label.affine - image.affine).abs().max())
    if apart > AFFINE_TOLERANCE:
        found = f"affines that differ by up to {apart:.3g} mm"
        expected = f"the same affine within {AFFINE_TOLERANCE} mm"
        raise SemclError(
            f"{like} and label map differ in place", case=case, found=found, expected=expected, remedy=remedy
        )
    return table.encode(label[0].numpy(), case)


def spacing(image: MetaTensor) -> list[float]:
    """Voxel size (mm) along each axis."""
    return [float(size) for size in image.pixdim]


def normalise(image: torch.Tensor, window: Sequence[float] | str) -> torch.Tensor:
    """Intensities mapped to [-1, 1] and clipped.

    Args:
        image: any shape.
        window: [low, high] in the image's units (HU), or "percentile": the volume's own 1st and 99th.
    """
    low, high = ends_of(image, window)
    return between(image, low, high)


def between(image: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Intensities of any shape with ``low`` to ``high`` mapped to [-1, 1], and clipped."""
    half = (high - low).clamp_min(1e-6) / 2
    scaled: torch.Tensor = image.float().sub((low + high) / 2).div_(half).clamp_(-1, 1)
    return scaled


def ends_of(image: torch.Tensor, window: Sequence[float] | str) -> torch.Tensor:
    """The two intensities (2,) of an image that become -1 and 1; ``window`` as of ``normalise``.

    Raises:
        SemclError: when the window is neither of what it may be.
    """
    ends = [] if isinstance(window, str) else [float(end) for end in window]
    if window != "percentile" and (len(ends) != 2 or ends[0] >= ends[1]):
        raise SemclError(
            "unknown intensity window",
            found=window,
            expected='[low, high] with low below high, or "percentile"',
            remedy="set window",
        )
    if ends:
        return torch.tensor(ends, device=image.device)
    return torch.quantile(_sample(image.float().flatten()), torch.tensor(PERCENTILES, device=image.device))


def _sample(voxels: torch.Tensor) -> torch.Tensor:
    """A million voxels drawn at random, the same each time: quantiles are limited in size, and they tell as much."""
    if len(voxels) <= SAMPLE:
        return voxels
    drawn = torch.randint(len(voxels), (SAMPLE,), generator=torch.Generator().manual_seed(0))
    return voxels[drawn.to(voxels.device)]


def working_shape(shape: Sequence[int], size: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """Shape (X, Y, Z) of a grid over the same field with voxels of ``target`` mm; 0 keeps an axis as it is."""
    return tuple(
        max(1, round(count * old / new)) if new else count for count, old, new in zip(shape, size, target, strict=True)
    )


def resample(
    volume: torch.Tensor,
    shape: Sequence[int],
    box: Sequence[slice] | None = None,
    change: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Intensities or scores (C, X, Y, Z) on a grid of another shape over the same field.

    Axes that shrink are averaged, so that fine structure does not alias; axes that grow are interpolated linearly. It
    is torch's adaptive_avg_pool3d and its trilinear interpolate one after the other, but can make a part of the grid.

    Args:
        volume: of any number type.
        shape: of the grid.
        box: slices of the grid that are wanted, None for all of it; no more of the volume is touched than they need.
        change: what is done to that part of the volume first, voxel by voxel.
    """
    parts = [slice(0, new) for new in shape] if box is None else box
    sums = [_sums(old, new)[:, part] for old, new, part in zip(volume.shape[1:], shape, parts, strict=True)]
    if 0 in (part.shape[1] for part in sums):
        return volume.new_zeros(volume.shape[0], *(part.shape[1] for part in sums), dtype=torch.float32)
    for axis, terms in enumerate(sums, start=1):
        first = int(terms[0].min())
        volume = volume.narrow(axis, first, int(terms[0].max()) + 1 - first)
        terms[0] -= first
    axes = sorted(range(3), key=lambda axis: sums[axis].shape[1] / volume.shape[axis + 1])  # the smallest first
    if change is not None:  # slab by slab, so that what is changed stays in the cache
        axes = [axis for axis in axes if axis != 1]
        slabs = torch.split(volume, max(1, SLAB // max(volume[0, 0].numel(), 1)), dim=1)
        volume = torch.cat([_weigh(change(slab), 2, sums[1]) for slab in slabs], dim=1)
    for axis in axes:
        volume = _weigh(volume, axis + 1, sums[axis])
    return volume.float()


def spread(
    part: torch.Tensor, start: Sequence[int], grid: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, ...], torch.Tensor]:
    """Bring a box of scores from a grid onto another one over the same field: ``resample``, but where all else is 0.

    Args:
        part: scores (X, Y, Z) of the box; everywhere else on the grid they are 0.
        start: the box's first voxel on the grid.
        grid: shape of the grid.
        shape: of the other one.

    Returns:
        the box of the other grid that the scores reach, and the scores there.
    """
    boxes = []
    for axis in range(3):
        first, last = start[axis], start[axis] + part.shape[axis]
        index, weight = _sums(grid[axis], shape[axis])
        inside = (index >= first) & (index < last)
        box = _reached((index, weight), first, last)
        part = _weigh(part, axis, torch.stack([(index - first).clamp(0, last - first - 1), weight * inside])[:, box])
        boxes.append(box)
    return tuple(boxes), part


def reach(start: Sequence[int], stop: Sequence[int], grid: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """The box of another grid that a box of a grid, from ``start`` to before ``stop``, has any weight in."""
    places = zip(start, stop, grid, shape, strict=True)
    return tuple(_reached(_sums(old, new), first, last) for first, last, old, new in places)


def resample_objects(objects: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A map of object numbers (X, Y, Z) on a grid of another shape over the same field, nearest neighbour."""
    for axis, new in enumerate(shape):
        old = objects.shape[axis]
        if new != old:
            nearest = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new)).long().clamp_max(old - 1)
            objects = objects.index_select(axis, nearest.to(objects.device))
    return objects


def _sums(old: int, new: int) -> torch.Tensor:
    """Index and weight (2, new, terms) of the voxels of an axis that each voxel of another grid's axis is summed of."""
    place = torch.arange(new, dtype=torch.float64)
    if new <= old:  # the mean of the voxels it touches
        first, last = (place * old / new).floor(), ((place + 1) * old / new).ceil()
        index = first[:, None] + torch.arange(int((last - first).max()))
        within = (index < last[:, None]).double()
        return torch.stack([index.clamp_max(old - 1), within / within.sum(1, keepdim=True)])
    where = ((place + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    low = where.floor()
    return torch.stack(
        [torch.stack([low, (low + 1).clamp_max(old - 1)], 1), torch.stack([1 + low - where, where - low], 1)]
    )


def _reached(sums: Iterable[torch.Tensor], first: int, last: int) -> slice:
    """The voxels of a new axis that take anything from voxels ``first`` to before ``last`` of the old one."""
    index, weight = sums
    some = ((index >= first) & (index < last) & (weight > 0)).any(1)
    found = torch.nonzero(some).flatten().tolist()
    return slice(found[0], found[-1] + 1) if found else slice(0, 0)


def _weigh(volume: torch.Tensor, axis: int, sums: torch.Tensor) -> torch.Tensor:
    """An axis of a volume replaced by weighted sums along it."""
    index, weight = sums[0].long().to(volume.device), sums[1].to(volume.device, torch.float32)
    new, terms = index.shape
    if terms == 1:  # the same voxels
        return volume.narrow(axis, int(sums[0, 0, 0]) if new else 0, new)
    before, after = volume.shape[:axis], volume.shape[axis + 1 :]
    if after.numel() < LINE:
        parts = [
            volume.index_select(axis, index[:, term]) * weight[:, term].view(-1, *[1] * len(after))
            for term in range(terms)
        ]
        return torch.stack(parts).sum(0)
    lines = torch.arange(before.numel(), device=volume.device).view(-1, 1, 1) * volume.shape[axis] + index
    table = volume.float().reshape(-1, after.numel())
    bags = lines.view(-1, terms), table, weight.repeat(before.numel(), 1)
    summed = functional.embedding_bag(bags[0], bags[1], mode="sum", per_sample_weights=bags[2])
    return summed.view(*before, new, *after)


def strongest(scores: Iterable[tuple[int, tuple[slice, ...], torch.Tensor]], floor: torch.Tensor) -> torch.Tensor:
    """Which of several scores is the highest at each voxel, taken one at a time to save memory.

    Args:
        scores: object numbers, the boxes they are scored in, and their scores there.
        floor: score of background (X, Y, Z); used as scratch space.

    Returns:
        object numbers (X, Y, Z), 0 where no score is above the floor.
    """
    winner = torch.zeros(floor.shape, dtype=torch.int16, device=floor.device)
    for number, box, score in scores:
        higher = score > floor[box]
        winner[box].masked_fill_(higher, number)
        torch.maximum(floor[box], score, out=floor[box])
    return winner


def _by(shape: Sequence[Any]) -> str:
    return " x ".join(str(int(size)) for size in shape)
