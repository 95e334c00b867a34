"""Random changes of whole batches of slices or patches on their device, as nnU-Net makes them."""

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
from ..cohort.label_table import IGNORED, LabelTable
from ..cohort.partners import require_flips
from ..errors import SemclError
from ..queries.grid import AIR
from ..queries.intensities import Intensities, slabs

ELASTIC_POINTS = 9  # of elastic deformation along each axis
SMOOTH = {2: "bilinear", 3: "trilinear"}
ODDS = {"blur": 0.2, "contrast": 0.15, "brightness": 0.15, "gamma": 0.3, "noise": 0.1, "resolution": 0.25}  # nnU-Net's


class Augmentation(Randomizable):
    """Scales, rotates and deforms, then changes intensities; image and label move together, in one interpolation.

    Every sample of a batch is changed in its own way. Each change of intensities happens with nnU-Net's probability for
    it (arXiv 1904.08128) times ``often``; all changes of place together with ``moved``.

    Args:
        scaling: lowest and highest factor by which structures grow.
        rotation: largest rotation in the axial plane, degrees.
        shift: how far a view's centre may lie from the sample's, as a share of half its side.
        elastic: largest displacement of any of the 9 control points along each axis, as a share of their distance
            (below 0.5, so that places along an axis keep their order).
        moved: probability of a change of place.
        flip_axes: axes that are mirrored with probability 1/2 (``LabelTable.flip_axes`` keeps laterality).
        blur: largest standard deviation of a Gaussian blur, voxels.
        contrast: largest relative change of intensity differences.
        brightness: largest shift of intensities (the window is 2 wide).
        gamma: largest change of the logarithm of a gamma.
        noise: largest standard deviation of added noise.
        resolution: lowest share of the voxels per side that an image is reduced to and enlarged from; 1 for never.
        often: factor of the probabilities, 0 for no change of intensities.
        table: the label table, by which a flip is refused that would swap partners; None for no such check.

    Raises:
        SemclError: for a deformation that is too large, or such a flip.
    """

    def __init__(
        self,
        scaling: Sequence[float] = (0.7, 1.4),
        rotation: float = 30.0,
        shift: float = 0.0,
        elastic: float = 0.0,
        moved: float = 0.5,
        flip_axes: Sequence[int] = (),
        blur: float = 1.0,
        contrast: float = 0.25,
        brightness: float = 0.2,
        gamma: float = 0.35,
        noise: float = 0.1,
        resolution: float = 0.5,
        often: float = 1.0,
        table: LabelTable | None = None,
    ) -> None:
        if not 0 <= elastic < 0.5:
            raise SemclError(
                "slices cannot be deformed this far",
                found=f"elastic {elastic}",
                expected="0 to below 0.5: more would change the order of places along an axis",
                remedy="change elastic",
            )
        if table is not None and not table.flip_axes:  # mirrored along any axis, the body of a left is that of a right
            require_flips(flip_axes, table.flip_axes)
        self.scaling, self.rotation, self.shift, self.moved = tuple(scaling), rotation, shift, moved
        self.elastic, self.flip_axes = elastic, tuple(flip_axes)
        self.blur, self.contrast, self.brightness = blur, contrast, brightness
        self.gamma, self.noise, self.resolution, self.often = gamma, noise, resolution, often
        self.set_random_state(get_seed())

    def draw(self, count: int, dims: int) -> dict[str, NDArray[np.float64]]:
        """Random parameters by name, one row for each of ``count`` samples."""
        moved = self.R.uniform(size=count) < self.moved
        flips = np.ones((count, dims))
        for axis in self.flip_axes:
            flips[:, axis] = self.R.choice([-1.0, 1.0], size=count)

        def sometimes(name: str, low: float, high: float, unchanged: float) -> NDArray[np.float64]:
            happens = self.R.uniform(size=count) < min(1, ODDS[name] * self.often)
            return np.where(happens, self.R.uniform(low, high, size=count), unchanged)

        low, high = map(math.log, self.scaling)
        factors = np.exp(self.R.uniform(low, high, size=count))
        drawn = {
            "scale": np.where(moved, factors, 1),
            "angle": np.deg2rad(np.where(moved, self.R.uniform(-self.rotation, self.rotation, size=count), 0)),
            "shift": moved[:, None] * self.R.uniform(-self.shift, self.shift, size=(count, dims)),
            "flip": flips,
            "blur": sometimes("blur", self.blur / 2, self.blur, 0),
            "gain": sometimes("contrast", 1 - self.contrast, 1 + self.contrast, 1),
            "offset": sometimes("brightness", -self.brightness, self.brightness, 0),
            "gamma": np.exp(sometimes("gamma", -self.gamma, self.gamma, 0)),
            "noise": sometimes("noise", 0, self.noise, 0),
            "noise_seed": self.R.randint(2**31, size=count).astype(np.float64),
            "resolution": sometimes("resolution", self.resolution, 1, 1),
        }
        if self.elastic:
            points = self.R.uniform(-self.elastic, self.elastic, size=(count, dims, *[ELASTIC_POINTS] * dims))
            drawn["elastic"] = points * moved.reshape(-1, *[1] * (dims + 1)) * 2 / (ELASTIC_POINTS - 1)  # of [-1, 1]
        return drawn

    def __call__(self, image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A changed batch; what lies outside of a sample becomes air, and ignored in its label.

        Args:
            image: (B, C, X, Y[, Z]) in [-1, 1].
            label: (B, 1, X, Y[, Z]), object numbers.
        """
        drawn = self.draw(len(image) * ranks.count(), image.ndim - 2)
        draws = {name: ranks.own(values) for name, values in drawn.items()}
        theta = torch.from_numpy(matrices(draws, image.shape[2:])).to(image.device, torch.float32, non_blocking=True)
        changed, shown = torch.empty_like(image), torch.empty_like(image[:, :1])
        intensities = Intensities(changed, draws)
        for part in slabs(image):
            grid = functional.affine_grid(theta[part], list(image[part].shape), align_corners=False)
            if self.elastic:
                points = torch.from_numpy(draws["elastic"][part]).to(image.device, torch.float32, non_blocking=True)
                field = functional.interpolate(points, image.shape[2:], mode=SMOOTH[image.ndim - 2], align_corners=True)
                grid += field.movedim(1, -1)
            moved = functional.grid_sample(image[part] - AIR, grid, align_corners=False).add_(AIR)
            for sample, share in zip(moved, draws["resolution"][part], strict=True):
                if share < 1:
                    sample.copy_(reduced(sample, float(share)))
            intensities.change(moved, part, changed[part])
            numbers = label[part].to(image.dtype) - IGNORED
            shown[part] = functional.grid_sample(numbers, grid, mode="nearest", align_corners=False)
        return changed, shown.round_().add_(IGNORED).to(label.dtype)


def matrices(draws: dict[str, NDArray[np.float64]], size: Sequence[int]) -> NDArray[np.float64]:
    """Affine matrices (B, dims, dims + 1) of ``affine_grid``, whose last axis comes first, for samples of a size."""
    dims, angle = len(size), draws["angle"]
    linear = np.tile(np.eye(dims), (len(angle), 1, 1))
    cos, sin = np.cos(angle), np.sin(angle)
    linear[:, 0, 0], linear[:, 0, 1], linear[:, 1, 0], linear[:, 1, 1] = cos, -sin, sin, cos
    linear = linear * draws["flip"][:, None, :] / draws["scale"][:, None, None]
    sides = np.asarray(size, float)
    linear = linear * sides[None, None, :] / sides[None, :, None]  # voxels -> [-1, 1] along each axis
    return np.ascontiguousarray(
        np.concatenate([linear, draws["shift"][:, :, None]], 2)[:, ::-1][:, :, [*reversed(range(dims)), dims]]
    )


def reduced(image: torch.Tensor, share: float) -> torch.Tensor:
    """An image (C, X, Y[, Z]) reduced to a share of its voxels per side, by the nearest, and enlarged smoothly."""
    small = [max(1, round(side * share)) for side in image.shape[1:]]
    nearest = functional.interpolate(image[None], small, mode="nearest")
    return functional.interpolate(nearest, list(image.shape[1:]), mode=SMOOTH[image.ndim - 1])[0]
