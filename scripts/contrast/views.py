"""Views of a whole batch of queries on its device: crop, scale and rotation as one interpolation, then intensities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.engines import PrepareBatch
from monai.transforms import Randomizable
from monai.utils import get_seed
from numpy.typing import NDArray
from torch.nn import functional

from .query import AIR


class Views(Randomizable):
    """Draws one view of each query of a batch; image and masks move together.

    Args:
        patch_size: P, side of the view in voxels.
        area: share of the patch's area (2-D) or volume (3-D) a view shows, drawn between the two; above 1 shows more.
        shift: how far a view's centre may leave the patch's, as a share of half the patch; a view smaller than the
            patch may always go as far as the patch's edge.
        rotation: largest turn in the axial plane, degrees.
        flip_axes: spatial axes that are mirrored half of the time (``LabelTable.flip_axes`` keeps laterality).
        contrast: largest relative change of intensity differences.
        brightness: largest shift of intensities (the window is 2 wide).
        noise: standard deviation of added noise.

    The draws of a call are kept in ``last``: NumPy arrays by name, a row a query.
    """

    def __init__(
        self,
        patch_size: int,
        area: Sequence[float] = (0.3, 0.7),
        shift: float = 0.0,
        rotation: float = 30.0,
        flip_axes: Sequence[int] = (),
        contrast: float = 0.0,
        brightness: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        self.patch_size, self.area, self.shift, self.rotation = patch_size, tuple(area), shift, rotation
        self.flip_axes = tuple(flip_axes)
        self.contrast, self.brightness, self.noise = contrast, brightness, noise
        self.last: dict[str, NDArray[np.float64]] = {}
        self.set_random_state(get_seed())  # of set_determinism, as MONAI's Compose does

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
            image: (B, 1, S, S[, S]) in [-1, 1], S at least P.
            masks: (B, M, S, S[, S]), zeros and ones.

        Returns:
            image (B, 1, P, P[, P]), interpolated linearly, and masks (B, M, P, P[, P]), nearest neighbour.
        """
        dims = image.ndim - 2
        self.randomize((len(image), dims))
        matrices = torch.from_numpy(self.matrices(dims, self.patch_size / image.shape[-1]))
        theta = matrices.to(image.device, torch.float32, non_blocking=True)
        size = [len(image), 1, *[self.patch_size] * dims]
        grid = functional.affine_grid(theta, size, align_corners=False)
        moved = functional.grid_sample(image - AIR, grid, align_corners=False) + AIR  # zeros outside mean air
        shown = functional.grid_sample(masks, grid, mode="nearest", align_corners=False)
        return self._intensities(moved), shown

    def _intensities(self, image: torch.Tensor) -> torch.Tensor:
        shape = [-1] + [1] * (image.ndim - 1)
        drawn = torch.from_numpy(np.stack([self.last["gain"], self.last["offset"]]))
        gain, offset = drawn.to(image.device, torch.float32, non_blocking=True)
        image = image * gain.view(shape) + offset.view(shape)
        if self.noise:
            image = image + self.noise * torch.randn_like(image)
        return image.clamp(-1, 1)


class PrepareViews(PrepareBatch):
    """Batches of pretraining: ``count`` views of each query as input, its cluster as label.

    Gives inputs (V*B, 2, P, P[, P]), image and attention on the channel axis, view by view, and labels (V*B,).
    """

    def __init__(self, views: Views, count: int = 2) -> None:
        self.views, self.count = views, count

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        image, attention, cluster = (
            batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "attention", "cluster")
        )
        views = [torch.cat(self.views(image, attention), dim=1) for _ in range(self.count)]
        return torch.cat(views), cluster.repeat(self.count)
