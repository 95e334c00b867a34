"""Whole volumes: every object of the attention map is queried, refined, pasted back, and all fused into one map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.data.utils import compute_importance_map
from monai.inferers import Inferer
from monai.utils import convert_to_tensor

from ..cohort.volume import resample, strongest
from ..contrast.query import AIR, QueryGrid, overlap


class QueryInferer(Inferer):
    """Segment a volume with a network that draws one object a query.

    Rule of fusion: where patches of an object overlap, its probabilities are averaged with Gaussian weights; a voxel
    goes to the object with the highest probability above ``threshold``, else to background.

    Args:
        grid: where queries are cut, as in training.
        batch_size: queries a forward pass, of any objects and slices.
        coarse: gives object numbers (1, 1, X, Y, Z) of a volume that comes without attention.
        threshold: probability an object needs.
    """

    def __init__(
        self,
        grid: QueryGrid,
        batch_size: int,
        coarse: Callable[[torch.Tensor], torch.Tensor],
        threshold: float = 0.5,
    ) -> None:
        self.grid, self.batch_size, self.coarse, self.threshold = grid, batch_size, coarse, threshold

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., torch.Tensor],
        attention: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Object numbers (1, 1, X, Y, Z) of a volume.

        Args:
            inputs: one volume (1, 1, X, Y, Z) in RAS with its affine (MetaTensor), in the image's own units.
            network: query (B, 2, P, P[, P]) -> logit (B, 1, P, P[, P]).
            attention: object numbers (1, 1, X, Y, Z) of a coarse map; None to make one.
        """
        image = inputs[0]
        if not isinstance(image, MetaTensor):
            image = MetaTensor(image)
        coarse = self.coarse(inputs) if attention is None else attention
        objects = self.grid.objects(convert_to_tensor(coarse, track_meta=False)[0, 0], image)
        floor = torch.full(image.shape[1:], self.threshold, device=image.device)
        drawn = self.probabilities(self.grid.image(image), objects, network)
        scores = ((number, resample(probability[None], floor.shape)[0]) for number, probability in drawn)
        return strongest(scores, floor)[None, None]

    def probabilities(
        self, image: torch.Tensor, objects: torch.Tensor, network: Callable[..., torch.Tensor]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Object number and probability (X, Y, Z) on the query grid, object by object.

        Args:
            image: (X, Y, Z) on the grid, in [-1, 1].
            objects: attention (X, Y, Z) on the grid.
            network: as in ``__call__``.
        """
        queries = self.grid.queries(objects.cpu().numpy())
        weight = compute_importance_map(self.grid.box, mode="gaussian", sigma_scale=0.25, device=image.device)
        canvas = _Canvas(image.shape, weight)
        current = 0
        for first in range(0, len(queries), self.batch_size):
            batch = queries[first : first + self.batch_size].tolist()
            patches = torch.stack([self._query(image, objects, row) for row in batch])
            with torch.no_grad():
                refined = torch.sigmoid(network(patches).float())[:, 0]
            for row, patch in zip(batch, refined, strict=True):
                if current and row[0] != current:
                    yield current, canvas.finish()
                current = row[0]
                canvas.paste(patch.view(self.grid.box), row[1:])
        if current:
            yield current, canvas.finish()

    def _query(self, image: torch.Tensor, objects: torch.Tensor, row: list[int]) -> torch.Tensor:
        mask = self.grid.cut(objects, row[1:]) == row[0]
        return torch.stack([self.grid.cut(image, row[1:], outside=AIR), mask.float()])


class _Canvas:
    """Weighted mean of the patches of one object on the grid (X, Y, Z)."""

    def __init__(self, shape: Sequence[int], weight: torch.Tensor) -> None:
        self.weight = weight
        self.total = weight.new_zeros(shape)
        self.weights = weight.new_zeros(shape)

    def paste(self, patch: torch.Tensor, start: list[int]) -> None:
        part, where = overlap(start, patch.shape, self.total.shape)
        self.total[where] += patch[part] * self.weight[part]
        self.weights[where] += self.weight[part]

    def finish(self) -> torch.Tensor:
        """The mean, 0 where nothing was pasted; the canvas is empty after."""
        mean = self.total / self.weights.clamp_min(1e-8)
        self.total.zero_()
        self.weights.zero_()
        return mean
