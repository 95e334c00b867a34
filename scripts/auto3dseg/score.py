"""The score of an algorithm: Dice of each organ on the validation cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.metrics import DiceMetric

from ..cohort.attention import attention_path
from ..cohort.case import Case
from ..cohort.ignored import without_ignored
from ..cohort.label_table import LabelTable
from ..cohort.volume import read, read_label, read_objects
from ..errors import SemclError


def validation_dice(cases: Sequence[Case], table: LabelTable, predictions: Path, channels: int = 1) -> dict[str, float]:
    """Mean Dice by organ, over the cases that have the organ; a case in which it was missed counts as 0.

    Args:
        cases: with label maps.
        table: the label table.
        predictions: folder of the predictions, <case>.nii.gz.
        channels: C of the images.

    Raises:
        SemclError: when no case has any organ; errors of ``read_objects``.
    """
    metric = DiceMetric(include_background=False, reduction="none", num_classes=len(table) + 1)
    for case in cases:
        image = read(case.image, case.id, channels)
        predicted = read_objects(attention_path(predictions, case.id), image, case.id, table)
        predicted, truth = without_ignored(predicted, read_label(case, image, table))
        metric(*(torch.from_numpy(objects)[None, None] for objects in (predicted, truth)))
    rows = cast(torch.Tensor, metric.aggregate())
    means = {name: rows[:, number].nanmean().item() for number, name in enumerate(table.names)}
    found = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    if not found:
        raise SemclError(
            "no validation case has an organ",
            found=f"{', '.join(case.id for case in cases)} without any of {', '.join(table.names)}",
            expected="an organ in at least one of them",
            remedy="split the datalist into folds that all have organs",
        )
    return found
