"""Whole volumes: every object of the attention map is queried, refined, pasted back, and all fused into one map."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from torch.nn import functional

from ..cohort.label_table import IGNORED
from ..cohort.resampling import spread, strongest
from ..errors import SemclError
from ..finite import refuse_broken
from ..queries.grid import QueryGrid
from .calibration import Scale
from .patches import Patches
from .post_processing import finished
from .stitching import Drawn
from .test_time_augmentation import Turns

LEVEL = 0.5  # standing of an object at its threshold
NEGLIGIBLE = 0.01  # standing below which an object's probability is taken as 0
Network = Callable[[torch.Tensor], torch.Tensor]


class QueryInferer(Inferer):
    """Segment a volume with a network that draws one object a query.

    Queries of all objects and slices are batched across each other. An object is put together from its patches in a box
    of its own, and that box alone is brought back to the volume's voxels: time grows with what the objects take up, not
    with the volume, and memory does not grow with the number of objects.

    Rule of fusion: a logit becomes a calibrated probability, and its odds are taken over those of the object's own
    threshold, at which its Dice is best. Where patches of an object overlap these standings are averaged with Gaussian
    weights. A voxel belongs to the object that stands highest there, and to background where none is over its
    threshold. (By probability alone, large objects took from small ones, whose thresholds are low.)

    Args:
        grid: where queries are cut, as in training.
        batch_size: queries a forward pass, of any objects and slices.
        coarse: gives object numbers (1, 1, X, Y, Z) of a volume that comes without attention.
        grow: how often an object that is drawn up to its patch's border gets patches beyond it.
        calibration: object number -> its scale, or a function that gives that when the first volume comes; the others'
            probabilities are taken as they are, drawn from 1/2 on.
        turns: test-time views of each query, None for none.
        smallest_island: parts of an object below this share of its largest part are removed at last.
        keep_slices: 2-D only: on slices where an object is drawn nowhere, the coarse map stays (``finished``).
        certain: voxels whose highest standing is between 1 - certain and certain are given as ignored, for maps to
            learn from; None for none. From 1/2 to 1.
        names: of the objects 1, 2, ..., for errors.

    Raises:
        SemclError: for another ``certain``; when called, for a network that gives NaN.
    """

    def __init__(
        self,
        grid: QueryGrid,
        batch_size: int,
        coarse: Callable[[torch.Tensor], torch.Tensor],
        grow: int = 1,
        calibration: Mapping[int, Scale] | Callable[[], Mapping[int, Scale]] | None = None,
        turns: Turns | None = None,
        smallest_island: float = 0,
        keep_slices: bool = False,
        certain: float | None = None,
        names: Sequence[str] = (),
    ) -> None:
        if certain is not None and not LEVEL <= certain <= 1:
            raise SemclError(
                "certain is no probability to be certain from", found=certain, expected="0.5 to 1, or null",
                remedy="set certain",
            )  # fmt: skip
        self.grid, self.batch_size, self.coarse = grid, batch_size, coarse
        self.grow, self.calibration = grow, calibration or {}
        self.turns = turns or Turns(1)
        self.smallest_island, self.keep_slices = smallest_island, keep_slices and grid.spatial_dims == 2
        self.certain, self.names = certain, dict(enumerate(names, start=1))

    def __call__(
        self, inputs: torch.Tensor, network: Network, attention: torch.Tensor | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """Object numbers (1, 1, X, Y, Z) of a volume.

        Args:
            inputs: one volume (1, C, X, Y, Z) in RAS with its affine (MetaTensor), in the image's own units.
            network: query (B, C + 1, P, P[, P]) -> logit (B, 1, P, P[, P]).
            attention: object numbers (1, 1, X, Y, Z) of a coarse map; None to make one.
        """
        patches, shape, coarse = self._patches(inputs, attention)
        least = LEVEL if self.certain is None else 1 - self.certain
        highest = torch.full(shape, least, device=inputs.device)
        drawn = strongest(self._scores(patches, network, shape, least), highest)
        if self.certain is None:
            return finished(drawn, coarse, self.smallest_island, self.keep_slices)[None, None]
        last = finished(drawn.masked_fill(highest <= LEVEL, 0), coarse, self.smallest_island, self.keep_slices)
        return last.masked_fill((highest > least) & (highest < self.certain), IGNORED)[None, None]

    def probabilities(
        self, inputs: torch.Tensor, network: Network, classes: int, attention: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Class probabilities (1, C, X, Y, Z) of a volume, background first, for ensembles with other networks.

        They are the softmax of the logarithms of each object's odds over those of its threshold, background's being 0:
        what is most probable is what calling the inferer draws, and of a single object its standing is the probability.
        Where islands go or slices stay at last, the probability is 1 of what calling the inferer gives.

        Args:
            inputs: as of a call.
            network: as of a call.
            classes: C, objects and background.
            attention: as of a call.
        """
        patches, shape, coarse = self._patches(inputs, attention)
        odds = torch.zeros((classes, *shape), device=inputs.device)
        odds[0] = 1
        for number, box, standing in self._scores(patches, network, shape, NEGLIGIBLE):
            certain = standing.clamp(max=1 - torch.finfo(standing.dtype).eps)
            odds[number][box] = certain / (1 - certain)
        drawn = odds.argmax(0)
        last = finished(drawn, coarse, self.smallest_island, self.keep_slices)
        changed = last != drawn
        odds.div_(odds.sum(0))[:, changed] = functional.one_hot(last[changed].long(), classes).T.to(odds.dtype)
        return odds[None]

    def _patches(
        self, inputs: torch.Tensor, attention: torch.Tensor | None
    ) -> tuple[Patches, tuple[int, ...], torch.Tensor]:
        """The queries of a volume, its shape (X, Y, Z), and its coarse map (X, Y, Z)."""
        image = inputs[0]
        if not isinstance(image, MetaTensor):
            image = MetaTensor(image)
        coarse = self.coarse(inputs) if attention is None else attention
        numbers = convert_to_tensor(coarse, track_meta=False)[0, 0]
        objects = self.grid.attention(numbers, image)
        return Patches(self.grid, image, objects, self.grow), tuple(image.shape[1:]), numbers

    def _scores(
        self, patches: Patches, network: Network, shape: Sequence[int], least: float
    ) -> Iterator[tuple[int, tuple[slice, ...], torch.Tensor]]:
        """Objects one after the other, each with the box of the volume in which it stands above ``least``, and how."""
        terms = [-(-old // new) + 1 for old, new in zip(patches.shape, shape, strict=True)]  # voxels that make one
        for drawn in self.draw(patches, network):
            start, standing = drawn.together()
            organ = self.names.get(drawn.number, f"object {drawn.number}")
            refuse_broken(standing, "refining", organ, patches.case)  # NaN would be nothing drawn
            box = _above(standing, least, terms)
            if box is not None:
                begin = [first + part.start for first, part in zip(start, box, strict=True)]
                yield drawn.number, *spread(standing[box], begin, patches.shape, shape)

    def draw(self, patches: Patches, network: Network) -> Iterator[Drawn]:
        """The objects of a volume, each once all of its patches are refined."""
        network = self.turns(network)
        if callable(self.calibration):
            self.calibration = self.calibration()
        waiting = deque(map(tuple, patches.queries.tolist()))
        drawn: dict[int, Drawn] = {}
        for number, *_ in waiting:
            drawn.setdefault(number, Drawn(number, self.grid.box, patches.shape, self.grow)).waiting += 1
        while waiting:
            batch = [waiting.popleft() for _ in range(min(self.batch_size, len(waiting)))]
            with torch.no_grad():
                logits = network(patches.cut(batch)).float()[:, 0]
            for row, logit in zip(batch, logits, strict=True):
                drawn[row[0]].add(row[1:], self.calibration.get(row[0], Scale()).standing(logit))
            for number in sorted({row[0] for row in batch}):
                if not drawn[number].waiting:
                    more = drawn[number].beyond(patches.objects, LEVEL)
                    waiting.extendleft((number, *start) for start in reversed(more))
                    if not more:
                        yield drawn.pop(number)


def _above(standing: torch.Tensor, threshold: float, margins: Sequence[int]) -> tuple[slice, ...] | None:
    """The box of a standing (X, Y, Z) above a threshold, and a margin; None where nothing is.

    A mean of voxels passes the threshold only if one of them does, so no voxel outside can be the object's.
    """
    above, box = standing > threshold, []
    for axis, margin in enumerate(margins):
        others = [other for other in range(3) if other != axis]
        found = torch.nonzero(above.amax(others)).flatten().tolist()
        if not found:
            return None
        box.append(slice(max(found[0] - margin, 0), found[-1] + 1 + margin))
    return tuple(box)
