"""Training samples of the coarse network: whole volumes at low resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Transform

from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.resampling import resample, resample_objects
from ..cohort.volume import normalise, read, read_label


class ReadCoarse(Transform):
    """Turns a case into its low-resolution sample: image (C, *size) and label (1, *size).

    Args:
        table: the label table.
        size: grid (X, Y, Z) that the whole volume is resampled to.
        window: intensity window, as ``normalise`` takes it.
        channels: C, channels of the images.
    """

    def __init__(
        self, table: LabelTable, size: Sequence[int], window: Sequence[float] | str, channels: int = 1
    ) -> None:
        self.table, self.size, self.window, self.channels = table, tuple(size), window, channels

    def __call__(self, data: Mapping[str, Case]) -> dict[str, Any]:
        case = data["case"]
        image = read(case.image, case.id, self.channels)
        objects = read_label(case, image, self.table)
        label = resample_objects(torch.from_numpy(objects), self.size)
        return {"image": resample(normalise(image.as_tensor(), self.window), self.size), "label": label[None]}
