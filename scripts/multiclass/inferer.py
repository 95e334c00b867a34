"""Inference with plain networks: whole volumes through windows of the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer
from monai.utils import convert_to_tensor

from ..cohort.components import without_islands
from ..cohort.volume import case_of
from ..cohort.winners import winners
from ..finite import refuse_broken
from ..networks.fusion import fused
from ..queries.grid import AIR
from .grid import SegmentGrid

Segmenter = Callable[[torch.Tensor], torch.Tensor]


class SegmentInferer(Inferer):
    """Segments a whole volume by MONAI's sliding windows, in 2-D over a few axial slices at a time.

    Logits of windows are averaged with Gaussian weights and interpolated to the volume's own voxels before the highest
    is taken.

    Args:
        grid: the grid of training.
        batch_size: slices or patches per forward pass.
        overlap: of windows, as a share of their sides; slices that fit into a window are seen once.
        smallest_island: components of an organ below this share of its largest one are removed; 0 keeps all.
    """

    def __init__(self, grid: SegmentGrid, batch_size: int, overlap: float = 0.5, smallest_island: float = 0.0) -> None:
        self.grid, self.batch_size, self.smallest_island = grid, batch_size, smallest_island
        self.windows = SlidingWindowInferer(
            grid.size, batch_size, overlap, mode="gaussian", padding_mode="constant", cval=AIR
        )

    def __call__(self, inputs: torch.Tensor, network: Segmenter, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Segment ``inputs`` (1, C, X, Y, Z; a MetaTensor in RAS, in its own units): object numbers (1, 1, X, Y, Z).

        Raises:
            SemclError: for scores that are not finite.
        """
        full = tuple(inputs.shape[2:])
        with torch.no_grad():
            logits = self.logits(inputs, fused(network))
            objects = torch.cat([self._winners(scores, full) for scores in logits], dim=2)
        if self.smallest_island:
            kept = torch.from_numpy(without_islands(objects.cpu().numpy(), self.smallest_island))
            objects = kept.to(objects.device)
        return objects[None, None]

    def logits(self, inputs: torch.Tensor, network: Segmenter) -> Iterator[torch.Tensor]:
        """Logits (B, K + 1, X, Y[, Z]) of a volume on the grid: of a few slices at a time, in 3-D of all of it.

        Args:
            inputs: as in a call.
            network: as in a call.

        Raises:
            SemclError: for logits that are not finite.
        """
        volume = inputs[0]
        image = self.grid.image(volume if isinstance(volume, MetaTensor) else MetaTensor(volume))
        slices = torch.split(image, self.batch_size, dim=3)
        for batch in [part.movedim(3, 0) for part in slices] if self.grid.dims == 2 else [image[None]]:
            yield self._scores(batch, network, case_of(inputs))

    def _winners(self, scores: torch.Tensor, full: tuple[int, ...]) -> torch.Tensor:
        """Object numbers (X, Y, Z) in the volume's own voxels, of some of its slices or of all of it."""
        if self.grid.dims == 2:
            return winners(scores.movedim(0, 3), (*full[:2], len(scores)))
        return winners(scores[0], full)

    def _scores(self, batch: torch.Tensor, network: Segmenter, case: str | None) -> torch.Tensor:
        """Logits (B, K + 1, ...) of slices, or of one volume."""
        scores: torch.Tensor = convert_to_tensor(self.windows(batch, network), track_meta=False).float()
        refuse_broken(scores, "segmenting", "the whole volume", case)
        return scores
