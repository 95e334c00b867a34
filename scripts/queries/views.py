"""Views of a whole batch of queries on its device: crop, scale and rotation as one interpolation, then intensities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from monai.transforms import Randomizable
from monai.utils import get_seed
from numpy.typing import NDArray
from torch.nn import functional

from .. import ranks
from ..cohort.label_table import LabelTable
from ..errors import SemclError
from .grid import AIR
from .intensities import Intensities, slabs

CONTROL_POINTS = 5  # of elastic deformation along each axis
LINEAR = {2: "bilinear", 3: "trilinear"}


class Views(Randomizable):
    """Draws one view of each query of a batch; image and masks move together, in one interpolation.

    Args:
        patch_size: P, side of the view in voxels.
        area: share of the patch's area (2-D) or volume (3-D) a view shows, drawn between the two; above 1 shows more.
        shift: how far a view's centre may leave the patch's, as a share of half the patch; a view smaller than the
            patch may always go as far as the patch's edge.
        rotation: largest turn in the axial plane, degrees.
        flip_axes: spatial axes that are mirrored half of the time (``LabelTable.flip_axes`` keeps laterality).
        elastic: largest displacement of any of the 5 control points along each axis, voxels of the view.
        contrast: largest relative change of intensity differences (of the window's width).
        brightness: largest shift of intensities (of the window's level; the window is 2 wide).
        gamma: largest change of the logarithm of a gamma applied to intensities brought to [0, 1].
        blur: largest standard deviation of a Gaussian blur, voxels.
        noise: standard deviation of added Gaussian noise (``Noise``).
        table: the label table, to refuse flips that turn an organ into its left-right partner.

    Raises:
        SemclError: for numbers out of range, or flips across the midline of a cohort with paired organs.

    The draws of a call are kept in ``last``: NumPy arrays by name, a row a query. Every rank draws for the batch of all
    of them and takes its own rows, so that a query has the same view on any number of ranks.
    """

    def __init__(
        self,
        patch_size: int,
        area: Sequence[float] = (0.3, 0.7),
        shift: float = 0.0,
        rotation: float = 30.0,
        flip_axes: Sequence[int] = (),
        elastic: float = 0.0,
        contrast: float = 0.0,
        brightness: float = 0.0,
        gamma: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        table: LabelTable | None = None,
    ) -> None:
        self.patch_size, self.area, self.shift, self.rotation = patch_size, tuple(area), shift, rotation
        self.flip_axes, self.elastic = tuple(flip_axes), elastic
        self.contrast, self.brightness, self.gamma, self.blur, self.noise = contrast, brightness, gamma, blur, noise
        self._check(table)
        self.last: dict[str, NDArray[np.float64]] = {}
        self.set_random_state(get_seed())  # of set_determinism, as MONAI's Compose does

    def _check(self, table: LabelTable | None) -> None:
        folding = (self.patch_size - 1) / (CONTROL_POINTS - 1) / 2 / 3  # of three axes at once
        area = len(self.area) == 2 and all(0 < share < math.inf for share in self.area)
        ranges = {
            "area": (area, self.area, "two numbers above 0"),
            "rotation": (0 <= self.rotation <= 90, self.rotation, "0 to 90 degrees: more turns left into right"),
            "elastic": (0 <= self.elastic < folding, self.elastic, f"0 to below {folding:g}: more folds the image"),
            "contrast": (0 <= self.contrast < 1, self.contrast, "0 to below 1"),
            **{
                name: (0 <= getattr(self, name) < math.inf, getattr(self, name), "0 or more")
                for name in ("shift", "brightness", "gamma", "blur", "noise")
            },
        }
        for name, (fine, found, expected) in ranges.items():
            if not fine:
                raise SemclError(
                    f"views cannot be drawn with this {name}", found=found, expected=expected, remedy=f"change {name}"
                )
        refused = set(self.flip_axes) - set(self.flip_axes if table is None else table.flip_axes)
        if table is not None and refused:
            raise SemclError(
                "a flip would turn an organ into its left-right partner",
                found=f"flip_axes {list(self.flip_axes)}",
                expected=f"flips along {table.flip_axes} only",
                remedy="leave flip_axes at the label table's, or take `partner` out of labels.yaml",
            )

    def randomize(self, data: tuple[int, int]) -> None:
        """Draw for ``data`` = (batch size, spatial dims)."""
        count, dims = data
        scale = self.R.uniform(self.area[0], self.area[1], size=count) ** (1 / dims)
        room = np.maximum(1 - scale, self.shift)
        flips = np.ones((count, dims))
        for axis in self.flip_axes:
            flips[:, axis] = self.R.choice([-1.0, 1.0], size=count)
        self.last = {
            "scale": scale,
            "centre": self.R.uniform(-1, 1, size=(count, dims)) * room[:, None],
            "angle": np.deg2rad(self.R.uniform(-self.rotation, self.rotation, size=count)),
            "flip": flips,
            "gain": self.R.uniform(1 - self.contrast, 1 + self.contrast, size=count),
            "offset": self.R.uniform(-self.brightness, self.brightness, size=count),
        }
        if self.elastic:
            points = [CONTROL_POINTS] * dims
            self.last["elastic"] = self.R.uniform(-self.elastic, self.elastic, size=(count, dims, *points))
        if self.gamma:
            self.last["gamma"] = np.exp(self.R.uniform(-self.gamma, self.gamma, size=count))
        if self.blur:
            self.last["blur"] = self.R.uniform(0, self.blur, size=count)
        if self.noise:
            self.last["noise"] = np.full(count, self.noise)
            self.last["noise_seed"] = self.R.randint(2**31, size=count).astype(np.float64)

    def matrices(self, dims: int, ratio: float) -> NDArray[np.float64]:
        """Affine matrices (B, dims, dims + 1) of ``affine_grid`` for the last draws.

        ``ratio`` is the patch's share of the side of what is given. ``affine_grid`` wants the last axis first, so the
        matrices built for axes X, Y, Z are turned round.
        """
        draws = self.last
        count = len(draws["scale"])
        turn = np.tile(np.eye(dims), (count, 1, 1))
        cos, sin = np.cos(draws["angle"]), np.sin(draws["angle"])
        turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = cos, -sin, sin, cos
        linear = turn * draws["scale"][:, None, None] * draws["flip"][:, None, :] * ratio
        full = np.concatenate([linear[:, ::-1, ::-1], (draws["centre"] * ratio)[:, ::-1, None]], axis=2)
        return np.ascontiguousarray(full)

    def __call__(self, image: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One view of each query.

        Args:
            image: (B, C, S, S[, S]) in [-1, 1], S at least P.
            masks: (B, M, S, S[, S]), zeros and ones.

        Returns:
            image (B, C, P, P[, P]), interpolated linearly, and masks (B, M, P, P[, P]), nearest neighbour.
        """
        dims, ratio = image.ndim - 2, self.patch_size / image.shape[-1]
        self.randomize((len(image) * ranks.count(), dims))
        self.last = {name: ranks.own(drawn) for name, drawn in self.last.items()}
        theta = torch.from_numpy(self.matrices(dims, ratio)).to(image.device, torch.float32, non_blocking=True)
        if dims == 3 and not self.elastic:
            return self._axial_views(image, masks, theta)
        moved, shown = (given.new_empty([*given.shape[:2], *[self.patch_size] * dims]) for given in (image, masks))
        intensities = Intensities(moved, self.last)
        for part in slabs(image):
            grid = self._grid(theta, ratio, part)
            shifted = image[part] - AIR  # zeros outside then mean air
            sampled = functional.grid_sample(shifted, grid, align_corners=False).add_(AIR)
            intensities.change(sampled, part, moved[part])
            shown[part] = functional.grid_sample(masks[part], grid, mode="nearest", align_corners=False)
        return moved, shown

    def _axial_views(
        self, image: torch.Tensor, masks: torch.Tensor, theta: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of volumes that turn in the axial plane only: one product samples and blurs their third axis."""
        side = self.patch_size
        places = _axial_places(theta, side, image.shape[-1])
        intensities = Intensities(image, self.last, blurred=1, base=AIR)
        smooth = None if intensities.gaussians is None else intensities.gaussians.matrix(side, 0, side)
        moved = _axial_sample(image, places, "bilinear", AIR, smooth, intensities.change)
        return moved, _axial_sample(masks, places, "nearest")

    def _grid(self, theta: torch.Tensor, ratio: float, part: slice) -> torch.Tensor:
        """Where each voxel of a part of the views is looked up, (B, P, P[, P], dims) in [-1, 1] of what is given."""
        dims, device = theta.shape[1], theta.device
        grid = _affine_planes(theta[part], self.patch_size)
        if self.elastic:
            # voxels of the view -> [-1, 1] of the patch, last axis first as the grid has it
            voxel = self.last["scale"][part].reshape(-1, *[1] * (dims + 1))
            points = torch.from_numpy(self.last["elastic"][part, ::-1] * (voxel * 2 * ratio / self.patch_size))
            points = points.to(device, torch.float32, non_blocking=True)
            field = functional.interpolate(points, grid.shape[2:], mode=LINEAR[dims], align_corners=True)
            grid += field.movedim(1, 0)
        return grid.movedim(0, -1)


def _axial_places(theta: torch.Tensor, side: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the voxels of views lie by theta (B, 3, 4) that turns in the axial plane only, in voxels of what is given.

    Gives second and first axis (2, B, P, P), and third axis (B, 1, P).
    """
    in_voxels = theta * (size / 2)  # the first voxel's centre at 0
    in_voxels[:, :, 3] += (size - 1) / 2
    return _affine_planes(in_voxels[:, 1:, 1:], side), _affine_planes(in_voxels[:, :1, ::3], side)[0, :, None]


def _axial_sample(
    volume: torch.Tensor,
    places: tuple[torch.Tensor, torch.Tensor],
    mode: str,
    outside: float = 0,
    smooth: torch.Tensor | None = None,
    change: Callable[[torch.Tensor, slice, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """``grid_sample`` of volumes (B, C, S, S, S) at the ``_axial_places`` of views that turn in the axial plane only.

    The third axis is then apart from the other two: in the plane, a line of voxels is the weighted sum of the four
    lines around it (or the nearest), and along the lines one product with a matrix does. Exactly trilinear (or
    nearest), and many times faster.

    Args:
        outside: what is around the volumes, and taken from the views.
        smooth: matrices (B, P, P) that blur the third axis of the views.
        change: what is done to a part of the views at once: called with it, which part it is, and where to put it.
    """
    plane, place = places
    count, channels, size, side = len(volume), volume.shape[1], volume.shape[-1], place.shape[-1]
    index, weight = _lines(plane, size, mode)
    voxels = torch.arange(size, device=place.device)[:, None]
    along = place.round() == voxels if mode == "nearest" else (1 - (place - voxels).abs()).clamp_min(0)
    along = along.to(volume.dtype)  # (B, S, P)
    if smooth is not None:
        along = along @ smooth.mT
    drawn = volume.new_empty(count, channels, side, side, side)
    parts = slabs(volume)
    if not parts:
        return drawn
    step = parts[0].stop
    first = torch.arange(count * channels, device=volume.device, dtype=torch.int32) % (step * channels)
    index = (index[:, None] + first.view(count, channels, 1, 1) * size**2).flatten(1, 2)
    weight = weight[:, None].expand(-1, channels, -1, -1).flatten(1, 2)
    split = (values.split(step) for values in (volume, index, weight, along, drawn))
    for part, given, bags, near, matrix, view in zip(parts, *split, strict=True):
        table = (given - outside if outside else given).reshape(-1, size)
        weights = near.flatten(0, 1)
        lines = functional.embedding_bag(bags.flatten(0, 1), table, mode="sum", per_sample_weights=weights)
        torch.bmm(lines.view(len(given), -1, size), matrix, out=view.view(len(given), -1, side))
        if change is not None:
            change(view, part, view)
    return drawn


def _lines(plane: torch.Tensor, size: int, mode: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Which lines along the third axis a line of the view is summed of, and their weights, both (B, P * P, corners).

    ``plane`` (2, B, P, P) is where they are, in voxels: second axis, first axis.
    """
    if mode == "nearest":
        cell = plane.round()[None]
        near = torch.ones_like(cell)
    else:
        low = plane.floor()
        share = plane - low
        cell, near = torch.stack([low, low + 1]), torch.stack([1 - share, share])
    inside = cell.clamp(0, size - 1)
    near.sub_((cell - inside).abs_()).clamp_min_(0)  # nothing of what is outside
    index = inside[:, None, 1] * size + inside[None, :, 0]  # (down, right, B, P, P)
    weight = near[:, None, 1] * near[None, :, 0]
    index, weight = (values.flatten(0, 1).flatten(2).movedim(0, -1) for values in (index, weight))
    return index.contiguous().int(), weight.contiguous()


def _affine_planes(theta: torch.Tensor, side: int) -> torch.Tensor:
    """What ``affine_grid`` gives for theta (B, dims, dims + 1), coordinates first: (dims, B, P, P[, P]).

    A plane a coordinate, by broadcast sums: several times faster on a CPU than its product of matrices.
    """
    count, rows, dims = len(theta), theta.shape[1], theta.shape[2] - 1
    steps = (torch.arange(side, device=theta.device, dtype=theta.dtype) * 2 + 1) / side - 1
    planes = theta[:, :, dims].view(count, rows, *[1] * dims)
    for axis in range(dims):  # theta's first column belongs to the last axis
        shape = [count, rows, *(side if other == axis else 1 for other in range(dims))]
        planes = planes + (theta[:, :, dims - 1 - axis, None] * steps).view(shape)
    return planes.movedim(1, 0)
