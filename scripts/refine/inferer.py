"""Whole volumes: every object of the attention map is queried and refined, and all are fused into one label map."""

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
from ..cohort.resampling import spread
from ..errors import SemclError
from ..finite import refuse_broken
from ..networks.fusion import fused
from ..queries.grid import QueryGrid
from .calibration import Scale, scored
from .expected_dice import expected_dice
from .label_fusion import AT_THRESHOLD, Scored, box_above, fuse_labels
from .patches import VolumePatches
from .post_processing import post_process
from .stitching import StitchedObject, touched_borders
from .test_time_augmentation import AugmentedInference, Network

NEGLIGIBLE = 0.01  # score below which an object's probability is taken as 0


class QueryInferer(Inferer):
    """Segment a volume with a network that segments one object per query.

    Batches mix queries of all objects and slices. The patches of an object are stitched together in a box of their own
    on the query grid, and only that box is resampled to the volume's voxels, a slab of the volume at a time: time grows
    with the size of the objects, not of the volume. The boxes of all objects are kept, on the grid, until they are
    fused: with very many objects on a grid as fine as the volume that is most of the memory.

    Fusion: a logit becomes a calibrated probability, and an object's score is o / (1 + o), where o is the odds of that
    probability over the odds of the object's own threshold, at which its Dice is best. Scores of overlapping patches of
    an object are averaged with Gaussian weights. A voxel belongs to the object with the highest score, and to
    background where no object is above its threshold. (With probabilities alone, large objects took voxels from small
    ones, whose thresholds are low.)

    Args:
        grid: where queries are cut, as in training.
        batch_size: queries per forward pass, of any objects and slices.
        coarse: gives object numbers (1, 1, X, Y, Z) of a volume that comes without attention, called with the given
            map too where there is one that lacks organs.
        grow: how many times an object that reaches its patch's border gets patches beyond it.
        calibration: object number -> its scale, or a function that returns that, called at the first volume; objects
            without one keep the network's probabilities and a threshold of 1/2.
        test_time_augmentation: of each query; None for none.
        smallest_island: components of an object below this share of its largest one are removed.
        keep_slices: 2-D only: use the coarse map on slices on which nothing of an object was predicted
            (``post_process``).
        certain: voxels whose highest score is between 1 - certain and certain, and those that post-processing changed,
            become ignored, in maps to learn from; from 1/2 to 1, None for no ignored voxels.
        names: of the objects 1, 2, ..., for errors.

    Attributes:
        expected: object number -> the Dice that it is expected to have in the last volume, a scalar on its device; of
            the objects that were segmented, before voxels are given to one of several and islands are removed.

    Raises:
        SemclError: for another value of ``certain``; when called, for a network that gives NaN.
    """

    def __init__(
        self,
        grid: QueryGrid,
        batch_size: int,
        coarse: Callable[..., torch.Tensor],
        grow: int = 1,
        calibration: Mapping[int, Scale] | Callable[[], Mapping[int, Scale]] | None = None,
        test_time_augmentation: AugmentedInference | None = None,
        smallest_island: float = 0,
        keep_slices: bool = False,
        certain: float | None = None,
        names: Sequence[str] = (),
    ) -> None:
        if certain is not None and not AT_THRESHOLD <= certain <= 1:
            raise SemclError(
                "certain is out of range", found=certain, expected="0.5 to 1, or null",
                remedy="set certain",
            )  # fmt: skip
        self.grid, self.batch_size, self.coarse = grid, batch_size, coarse
        self.grow, self.calibration = grow, calibration or {}
        self.augmentation = test_time_augmentation or AugmentedInference(1)
        self.smallest_island, self.keep_slices = smallest_island, keep_slices and grid.spatial_dims == 2
        self.certain, self.names = certain, dict(enumerate(names, start=1))
        self.expected: dict[int, torch.Tensor] = {}

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Network,
        attention: torch.Tensor | None = None,
        given: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Object numbers (1, 1, X, Y, Z) of a volume.

        Args:
            inputs: one volume (1, C, X, Y, Z) in RAS with its affine (MetaTensor), in the image's own units.
            network: query (B, C + 1, P, P[, P]) -> logit (B, 1, P, P[, P]).
            attention: object numbers (1, 1, X, Y, Z) of a coarse map; None to predict one.
            given: those of a coarse map that lacks organs, which are then predicted.
        """
        objects, unsure, coarse = self._fused(inputs, network, attention, given)
        processed = self._processed(objects, coarse)
        if unsure is not None:
            processed = processed.masked_fill(unsure.logical_or_(processed != objects), IGNORED)
        return processed[None, None]

    def _fused(
        self, inputs: torch.Tensor, network: Network, attention: torch.Tensor | None, given: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Object numbers (X, Y, Z) by the highest score, where they are unsure if that is asked, and the coarse map."""
        patches, shape, coarse = self._patches(inputs, attention, given)
        lowest, grid = AT_THRESHOLD if self.certain is None else 1 - self.certain, patches.shape
        scores = sorted(
            self._scores(patches, network, shape, lowest), key=lambda one: one[0]
        )  # of two that tie the first
        del patches  # as large as the volume, and not needed any more
        return *fuse_labels(scores, grid, shape, lowest, self.certain, inputs.device), coarse

    def probabilities(
        self, inputs: torch.Tensor, network: Network, classes: int, attention: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Class probabilities (1, C, X, Y, Z) of a volume, background first, for ensembles with other networks.

        They are the softmax of the logarithm of each object's odds over those of its threshold, 0 for background: the
        most probable class is the one a call of the inferer gives, and a single object's probability is its score.
        Where post-processing changes a voxel, its new class gets probability 1.

        Args:
            inputs: as in a call.
            network: as in a call.
            classes: C, objects and background.
            attention: as in a call.
        """
        patches, shape, coarse = self._patches(inputs, attention)
        odds = torch.zeros((classes, *shape), device=inputs.device)
        odds[0] = 1
        for number, start, part in self._scores(patches, network, shape, NEGLIGIBLE):
            box, score = spread(part, start, patches.shape, shape)
            below_one = score.clamp(max=1 - torch.finfo(score.dtype).eps / 2)
            odds[number][box] = below_one / (1 - below_one)
        objects = odds.argmax(0)
        processed = self._processed(objects, coarse)
        changed = processed != objects
        odds.div_(odds.sum(0))[:, changed] = functional.one_hot(processed[changed].long(), classes).T.to(odds.dtype)
        return odds[None]

    def _processed(self, objects: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Object numbers (X, Y, Z) post-processed with the coarse map as it was queried: without islands."""
        return post_process(objects, coarse, self.smallest_island, self.keep_slices, self.grid.islands)

    def _patches(
        self, inputs: torch.Tensor, attention: torch.Tensor | None, given: torch.Tensor | None = None
    ) -> tuple[VolumePatches, tuple[int, ...], torch.Tensor]:
        """The patches of a volume, its shape (X, Y, Z), and its coarse map (X, Y, Z)."""
        image = inputs[0]
        if not isinstance(image, MetaTensor):
            image = MetaTensor(image)
        predicted = (inputs,) if given is None else (inputs, given)
        coarse = self.coarse(*predicted) if attention is None else attention
        numbers = convert_to_tensor(coarse, track_meta=False)[0, 0]
        objects = self.grid.attention(numbers, image)
        return VolumePatches(self.grid, image, objects, self.grow), tuple(image.shape[1:]), numbers

    def _scores(
        self, patches: VolumePatches, network: Network, shape: Sequence[int], lowest: float
    ) -> Iterator[Scored]:
        """The scores of each object above ``lowest``."""
        self.expected.clear()
        terms = [-(-old // new) + 1 for old, new in zip(patches.shape, shape, strict=True)]  # grid voxels per voxel
        for stitched in self.refine(patches, network):
            start, score = stitched.stitch()
            organ = self.names.get(stitched.number, f"object {stitched.number}")
            refuse_broken(score, "refining", organ, patches.case)  # NaN would pass for background
            box = box_above(score, lowest, terms)
            if box is not None:
                self.expected[stitched.number] = expected_dice(score, self.scale(stitched.number))
                begin = [first + part.start for first, part in zip(start, box, strict=True)]
                yield stitched.number, begin, score[box].clone()

    def refine(self, patches: VolumePatches, network: Network) -> Iterator[StitchedObject]:
        """The objects of a volume, each as soon as all its patches are refined.

        The device is waited for once a batch at most: when objects are refined that may request more patches.
        """
        network = self.augmentation(fused(network))
        waiting = deque(map(tuple, patches.queries.tolist()))
        objects: dict[int, StitchedObject] = {}
        for number, *_ in waiting:
            new = StitchedObject(number, self.grid.box, patches.shape, self.grow)
            objects.setdefault(number, new).pending += 1
        while waiting:
            batch = [waiting.popleft() for _ in range(min(self.batch_size, len(waiting)))]
            with torch.no_grad():
                logits = network(patches.cut(batch)).float()[:, 0]
            scores = scored(logits, [self.scale(number) for number, *_ in batch])
            for (number, *start), score in zip(batch, scores, strict=True):
                objects[number].add(tuple(start), score)
            refined = [number for number in sorted({row[0] for row in batch}) if not objects[number].pending]
            borders = touched_borders([objects[number] for number in refined], AT_THRESHOLD)
            for number, touched in zip(refined, borders, strict=True):
                more = objects[number].request_more(patches.objects, touched)
                waiting.extendleft((number, *start) for start in reversed(more))
                if not more:
                    yield objects.pop(number)

    def scale(self, number: int) -> Scale:
        """The calibration of an object."""
        if callable(self.calibration):
            self.calibration = self.calibration()
        return self.calibration.get(number, Scale())
