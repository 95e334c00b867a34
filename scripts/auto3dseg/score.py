"""The score of an algorithm: Dice of each organ on the cases that were kept for validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.metrics import DiceMetric

from ..cohort.attention import attention_path
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.volume import read, read_label, read_objects
from ..errors import SemclError
from ..networks.ignored import without_ignored


def dice_of(cases: Sequence[Case], table: LabelTable, predictions: Path) -> dict[str, float]:
    """Mean Dice over the cases that have an organ, by organ; 0 for a case in which it was missed.

    Args:
        cases: with label maps.
        table: the label table.
        predictions: folder of <case>.nii.gz.

    Raises:
        SemclError: when no case has any organ, and what ``read_objects`` raises.
    """
    metric = DiceMetric(include_background=False, reduction="none", num_classes=len(table) + 1)
    for case in cases:
        image = read(case.image, case.id)
        drawn = read_objects(attention_path(predictions, case.id), image, case.id, table)
        drawn, truth = without_ignored(drawn, read_label(case, image, table))
        metric(*(torch.from_numpy(objects)[None, None] for objects in (drawn, truth)))
    rows = cast(torch.Tensor, metric.aggregate())
    means = {name: rows[:, number].nanmean().item() for number, name in enumerate(table.names)}
    found = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    if not found:
        raise SemclError(
            "no case to be scored on has an organ",
            found=f"{', '.join(case.id for case in cases)} without any of {', '.join(table.names)}",
            expected="an organ in one of them at least",
            remedy="make the folds of the datalist so that each holds organs",
        )
    return found
