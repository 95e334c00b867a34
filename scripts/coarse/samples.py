"""Training samples of the coarse network: whole volumes at low resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.engines import PrepareBatch
from monai.transforms import Transform
from numpy.typing import NDArray

from ..cohort.case import Case
from ..cohort.label_table import IGNORED, LabelTable
from ..cohort.resampling import resample, resample_objects
from ..cohort.volume import read, read_label
from ..cohort.window import normalise
from ..networks.segmentation_loss import Target


class ReadCoarse(Transform):
    """Turns a case into its low-resolution sample: image (C, *size), label (1, *size) and "annotated" (N + 1,).

    Args:
        table: the label table.
        size: grid (X, Y, Z) that the whole volume is resampled to.
        window: intensity window, as ``normalise`` takes it.
        channels: C, channels of the images.
        objects: object number of each of the network's classes after background; other objects become background.
            None: 1, 2, ...
    """

    def __init__(
        self,
        table: LabelTable,
        size: Sequence[int],
        window: Sequence[float] | str,
        channels: int = 1,
        objects: Sequence[int] | None = None,
    ) -> None:
        self.table, self.size, self.window, self.channels = table, tuple(size), window, channels
        self.objects = range(1, len(table) + 1) if objects is None else objects

    def __call__(self, data: Mapping[str, Case]) -> dict[str, Any]:
        case = data["case"]
        image = read(case.image, case.id, self.channels)
        objects = read_label(case, image, self.table)
        label = resample_objects(torch.from_numpy(self._classes(objects)), self.size)
        return {
            "image": resample(normalise(image.as_tensor(), self.window), self.size),
            "label": label[None],
            "annotated": torch.tensor([True, *(case.annotates(self.table.names[one - 1]) for one in self.objects)]),
        }

    def _classes(self, objects: NDArray[np.int16]) -> NDArray[np.int16]:
        """The network's class of each object number; ignored voxels stay ignored."""
        classes = np.zeros(len(self.table) + 1, np.int16)
        classes[list(self.objects)] = np.arange(1, len(self.objects) + 1)
        return np.where(objects == IGNORED, np.int16(IGNORED), classes[objects.clip(0)])


class PrepareCoarse(PrepareBatch):
    """Prepares batches of training: images (B, C, *size) and their ``Target``."""

    def __call__(
        self, batchdata: dict[str, torch.Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, Target]:
        image, label = (batchdata[key].to(device, non_blocking=non_blocking) for key in ("image", "label"))
        annotated = batchdata["annotated"]
        return image, Target(label, None if annotated.all() else annotated.to(device, non_blocking=non_blocking))
