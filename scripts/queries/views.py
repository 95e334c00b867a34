"""Views of a whole batch of queries on its device: crop, scale and rotation as one interpolation, then intensities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms import Randomizable
from monai.utils import get_seed
from numpy.typing import NDArray
from torch.nn import functional

from .. import ranks
from ..cohort.label_table import LabelTable
from ..cohort.partners import require_flips
from ..errors import SemclError
from .geometry import affine_planes, axial_places, axial_sample
from .grid import AIR
from .intensities import Intensities, slabs

CONTROL_POINTS = 5  # of elastic deformation along each axis
LINEAR = {2: "bilinear", 3: "trilinear"}


class Views(Randomizable):
    """Random augmentation: one view per query of a batch; image and masks move together, in one interpolation.

    Args:
        patch_size: P, side of the view in voxels.
        area: lowest and highest share of the patch's area (2-D) or volume (3-D) that a view shows; above 1 shows more.
        shift: how far a view's centre may lie from the patch's, as a share of half the patch; a view smaller than the
            patch may always reach the patch's edge.
        rotation: largest rotation in the axial plane, degrees.
        flip_axes: spatial axes that are mirrored with probability 1/2 (``LabelTable.flip_axes`` keeps laterality).
        elastic: largest displacement of any of the 5 control points along each axis, voxels of the view.
        contrast: largest relative change of intensity differences (of the window's width).
        brightness: largest shift of intensities (of the window's level; the window is 2 wide).
        gamma: largest change of the logarithm of a gamma applied to intensities scaled to [0, 1].
        blur: largest standard deviation of a Gaussian blur, voxels.
        noise: standard deviation of added Gaussian noise (``Noise``).
        table: the label table, to refuse flips that turn an organ into its left-right partner.

    Raises:
        SemclError: for numbers out of range, or flips across the midline of a cohort with paired organs.

    The random parameters of the last call are kept in ``last``: NumPy arrays by name, one row per query. Every rank
    samples them for the batch of all ranks and takes its own rows, so that a query has the same view on any number of
    ranks.
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
            "rotation": (0 <= self.rotation <= 90, self.rotation, "0 to 90 degrees: more would turn left into right"),
            "elastic": (
                0 <= self.elastic < folding,
                self.elastic,
                f"0 to below {folding:g}: more would fold the image",
            ),
            "contrast": (0 <= self.contrast < 1, self.contrast, "0 to below 1"),
            **{
                name: (0 <= getattr(self, name) < math.inf, getattr(self, name), "0 or more")
                for name in ("shift", "brightness", "gamma", "blur", "noise")
            },
        }
        for name, (valid, found, expected) in ranges.items():
            if not valid:
                raise SemclError(
                    f"views cannot be made with this {name}", found=found, expected=expected, remedy=f"change {name}"
                )
        if table is not None:
            require_flips(self.flip_axes, table.flip_axes)

    def randomize(self, data: tuple[int, int]) -> None:
        """Sample the parameters of ``data`` = (batch size, spatial dims)."""
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
        """Affine matrices (B, dims, dims + 1) of ``affine_grid`` for the last parameters.

        ``ratio`` is the patch's share of the side of the input. ``affine_grid`` takes the last axis first, so the
        matrices, built for axes X, Y, Z, are reversed.
        """
        last = self.last
        count = len(last["scale"])
        rotation = np.tile(np.eye(dims), (count, 1, 1))
        cos, sin = np.cos(last["angle"]), np.sin(last["angle"])
        rotation[:, 0, 0], rotation[:, 0, 1], rotation[:, 1, 0], rotation[:, 1, 1] = cos, -sin, sin, cos
        linear = rotation * last["scale"][:, None, None] * last["flip"][:, None, :] * ratio
        full = np.concatenate([linear[:, ::-1, ::-1], (last["centre"] * ratio)[:, ::-1, None]], axis=2)
        return np.ascontiguousarray(full)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # the host draws: a graph would break at each draw
    def __call__(self, image: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One view per query. ``torch.compile`` leaves it as it is, with one break of the graph around it.

        Args:
            image: (B, C, S, S[, S]) in [-1, 1], S at least P.
            masks: (B, M, S, S[, S]), zeros and ones.

        Returns:
            image (B, C, P, P[, P]), interpolated linearly, and masks (B, M, P, P[, P]), nearest neighbour.
        """
        dims, ratio = image.ndim - 2, self.patch_size / image.shape[-1]
        self.randomize((len(image) * ranks.count(), dims))
        self.last = {name: ranks.own(values) for name, values in self.last.items()}
        theta = torch.from_numpy(self.matrices(dims, ratio)).to(image.device, torch.float32, non_blocking=True)
        if dims == 3 and not self.elastic:
            return self._axial_views(image, masks, theta)
        moved, shown = (batch.new_empty([*batch.shape[:2], *[self.patch_size] * dims]) for batch in (image, masks))
        intensities = Intensities(moved, self.last)
        for part in slabs(image):
            grid = self._grid(theta, ratio, part)
            shifted = image[part] - AIR  # so that the zeros outside mean air
            sampled = functional.grid_sample(shifted, grid, align_corners=False).add_(AIR)
            intensities.change(sampled, part, moved[part])
            shown[part] = functional.grid_sample(masks[part], grid, mode="nearest", align_corners=False)
        return moved, shown

    def _axial_views(
        self, image: torch.Tensor, masks: torch.Tensor, theta: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of volumes, rotated in the axial plane only: one matrix product samples and blurs their third axis."""
        side = self.patch_size
        places = axial_places(theta, side, image.shape[-1])
        intensities = Intensities(image, self.last, blurred=1, base=AIR)
        smooth = None if intensities.gaussians is None else intensities.gaussians.matrix(side, 0, side)
        moved = axial_sample(image, places, "bilinear", AIR, smooth, intensities.change)
        return moved, axial_sample(masks, places, "nearest")

    def _grid(self, theta: torch.Tensor, ratio: float, part: slice) -> torch.Tensor:
        """Sampling grid of a part of the views: (B, P, P[, P], dims), coordinates in [-1, 1] of the input."""
        dims, device = theta.shape[1], theta.device
        grid = affine_planes(theta[part], self.patch_size)
        if self.elastic:
            # voxels of the view -> [-1, 1] of the patch, last axis first as the grid has it
            voxel = self.last["scale"][part].reshape(-1, *[1] * (dims + 1))
            points = torch.from_numpy(self.last["elastic"][part, ::-1] * (voxel * 2 * ratio / self.patch_size))
            points = points.to(device, torch.float32, non_blocking=True)
            field = functional.interpolate(points, grid.shape[2:], mode=LINEAR[dims], align_corners=True)
            grid += field.movedim(1, 0)
        return grid.movedim(0, -1)
