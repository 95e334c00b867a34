"""Attention maps of labelled cases as a coarse network might give them: their label maps with simulated errors.

Cross-fitting gives real out-of-fold maps, and trains the network once for each fold besides. Where training time is
short or patients are few, that leaves each of these networks little of both. Simulated maps cost nothing, and all of
the time goes into the one network that is used.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from ..cohort.attention import attention_path, write_label_map
from ..cohort.case import Case
from ..cohort.label_table import LabelTable
from ..cohort.resampling import resample
from ..cohort.volume import read, read_label
from ..errors import SemclError
from ..intake.given_maps import ToolMaps, given_objects, put_over
from .inferer import CoarseInferer
from .makers import label_checksum, maker_of

SIMULATED_ERRORS = "simulated_errors"  # key of the note on weights and maps: how large they are
CELLS = 4  # voxels of the small volume from one value of the random fields to the next


BACKGROUND_SCORE = 0.35  # score of background: below 1/2, as networks are taught to keep small organs


def simulate_maps(
    cases: Sequence[Case],
    inferer: CoarseInferer,
    table: LabelTable,
    attention_dir: str,
    errors: float,
    fail: Callable[[str, object], None],
    tool: ToolMaps | None = None,
) -> None:
    """Write the simulated maps of labelled ``cases``; those that cannot be read are passed to ``fail``.

    Organs that the maps of ``tool`` have come from there.
    """
    for case in cases:
        try:
            image = read(case.image, case.id, inferer.channels)
            objects = torch.from_numpy(read_label(case, image, table))
            given = given_objects(tool, image, case.image)
        except SemclError as error:
            fail(case.id, error)
            continue
        simulated = put_over(simulate_map(objects, len(table), inferer, errors, case.id), given)
        maker = maker_of(case, label_checksum(case, errors), tool)
        write_label_map(attention_path(attention_dir, case.id), simulated, image, table, maker)


def simulate_map(objects: torch.Tensor, count: int, inferer: CoarseInferer, errors: float, case: str) -> torch.Tensor:
    """Object numbers (X, Y, Z) with errors of position, size and shape, drawn from the case's id.

    Each organ's mask is brought to the small volume of the coarse network, which smooths it, moved by a smooth random
    field, and made larger or smaller by another one; the organs are then drawn from these scores as the network's are.

    Args:
        objects: object numbers (X, Y, Z) of the label map; below 0 where it is ignored.
        count: K, the number of organs.
        inferer: of the coarse network.
        errors: standard deviation of both fields: voxels of the small volume, and half of the scores' range.
        case: its id, the seed of the errors.
    """
    size, full = inferer.size, objects.shape
    generator = torch.Generator().manual_seed(zlib.crc32(case.encode()))
    numbers = inferer.objects or range(1, count + 1)
    scores = torch.zeros(len(numbers) + 1, *size)
    places = functional.affine_grid(torch.eye(3, 4)[None], [1, 1, *size], align_corners=False)
    sides = torch.tensor(size[::-1])  # last axis first, as the grid has it
    unit = 2 / sides * (sides > 1)  # a voxel; nothing moves out of a single slice
    for row, organ in enumerate(numbers, start=1):
        own = (objects == organ).float()[None]
        shift, growth = _field(3, size, generator), _field(1, size, generator)
        if own.any():
            moved = places + errors * shift.movedim(1, -1) * unit
            soft = functional.grid_sample(resample(own, size)[None], moved, align_corners=False)[0, 0]
            edge = _smoothed(soft)
            scores[row] = torch.where(edge > 0, soft + 0.5 * errors * growth[0, 0] * (edge * (1 - edge) * 4), soft)
    scores[0] = BACKGROUND_SCORE
    return inferer.winners(scores, full)


def _smoothed(score: torch.Tensor) -> torch.Tensor:
    """The mean of each voxel of (X, Y, Z) and its neighbours, zeros outside; a single slice has none beside it."""
    reach = [int(side > 1) for side in score.shape]
    padded = functional.pad(score[None, None], [by for one in reversed(reach) for by in (one, one)])
    return functional.avg_pool3d(padded, [1 + 2 * one for one in reach], 1)[0, 0]


def _field(channels: int, size: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """A smooth random field (1, channels, *size) of about unit standard deviation."""
    coarse = [max(2, side // CELLS) for side in size]
    values = torch.randn(1, channels, *coarse, generator=generator)
    return functional.interpolate(values, size=size, mode="trilinear", align_corners=True) * 1.5
