"""Training samples of plain networks: random slices or patches of volumes that are read once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import RandCropByLabelClasses, RandomizableTransform, Transform
from torch.nn import functional

from ..cohort.case import Case
from ..cohort.label_table import IGNORED, LabelTable
from ..cohort.resampling import resample_objects
from ..cohort.volume import read, read_label
from ..queries.grid import AIR
from .grid import SegmentGrid

CENTRES = 10_000  # of crops that are kept for each organ of a volume


class ReadOnGrid(Transform):
    """From {"case": case, "labelled": bool} to its volume on the grid, at least as large as a crop.

    Adds image (C, X, Y, Z), label (1, X, Y, Z) of object numbers, "annotated" (K + 1,), "phase", and "centres": voxels
    around which to crop, at any place and then in each organ. The label map of a case that is not labelled is not
    read: all of it is ignored, and none of its organs has centres. An organ that a pseudo-label lacks counts as not
    annotated: where it was missed, the network would unlearn it.

    Args:
        table: the label table.
        grid: the grid.
        channels: C, channels of the images.
    """

    def __init__(self, table: LabelTable, grid: SegmentGrid, channels: int = 1) -> None:
        self.table, self.grid, self.channels = table, grid, channels

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read a case.

        Raises:
            SemclError: when a file cannot be read, or scan and label map do not match.
        """
        case: Case = data["case"]
        scan = read(case.image, case.id, self.channels)
        image = self.grid.image(scan)
        label = torch.full(image.shape[1:], IGNORED, dtype=torch.int16)
        annotated: tuple[str, ...] = ()
        if data["labelled"]:
            label = resample_objects(torch.from_numpy(read_label(case, scan, self.table)), image.shape[1:])
            annotated = self._annotated(case, label)
        image = self._padded(image, AIR)
        inside = self._padded(torch.ones_like(label), 0).bool()
        label = self._padded(label, 0 if data["labelled"] else IGNORED)
        return {
            "image": image,
            "label": label[None],
            "labelled": data["labelled"],
            "centres": self._centres(label, inside),
            "annotated": torch.tensor([True, *(name in annotated for name in self.table.names)]),
            "phase": self.table.phase_number(case.phase, case.id),
        }

    def _annotated(self, case: Case, label: torch.Tensor) -> tuple[str, ...]:
        """The organs that a case's label map (X, Y, Z) shows wherever they are."""
        if case.pseudo:
            found = set(np.unique(label.numpy()).tolist())
            return tuple(name for number, name in enumerate(self.table.names, start=1) if number in found)
        return self.table.names if case.annotated is None else case.annotated

    def _padded(self, volume: torch.Tensor, value: float) -> torch.Tensor:
        """A volume (..., X, Y, Z) padded on both sides to the size of a crop, where it is smaller."""
        lacking = [max(0, wanted - side) for wanted, side in zip(self.grid.box, volume.shape[-3:], strict=True)]
        sides = [part for missing in reversed(lacking) for part in (missing // 2, missing - missing // 2)]
        return functional.pad(volume, sides, value=value)

    def _centres(self, label: torch.Tensor, inside: torch.Tensor) -> list[torch.Tensor]:
        """Some flat indices of voxels: at any place of the volume, then of each organ."""
        masks = [inside, *(label == number for number in range(1, len(self.table) + 1))]
        return [_some(torch.nonzero(mask.flatten()).flatten()) for mask in masks]


def _some(indices: torch.Tensor) -> torch.Tensor:
    """A random selection of indices, the same each time."""
    if len(indices) <= CENTRES:
        return indices
    return indices[torch.from_numpy(np.random.default_rng(0).permutation(len(indices))[:CENTRES].copy())]


class RandomCrop(RandomizableTransform):
    """A random slice or patch of a volume from ``ReadOnGrid``: MONAI's RandCropByLabelClasses around its centres.

    Args:
        grid: the grid.
        foreground: share of crops that are centred on an organ, equally over all organs; an organ that a volume lacks
            leaves its share to the rest. The others lie at any place.
        classes: K, number of organs.
    """

    def __init__(self, grid: SegmentGrid, foreground: float, classes: int) -> None:
        super().__init__()
        self.grid = grid
        self.ratios = [1 - foreground, *[foreground / classes] * classes]
        self.crop = RandCropByLabelClasses(grid.box, warn=False)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandomCrop:
        super().set_random_state(seed, state)
        self.crop.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        found = [len(centres) > 0 for centres in data["centres"]]
        ratios = [share * there for share, there in zip(self.ratios, found, strict=True)]
        self.crop.ratios = ratios if any(ratios) else [1, *ratios[1:]]  # a volume without organs: at any place
        self.crop.randomize(label=data["label"], indices=data["centres"])
        centres: Any = self.crop.centers  # one
        starts = [place - side // 2 for place, side in zip(centres[0], self.grid.box, strict=True)]
        x, y, z = (slice(start, start + side) for start, side in zip(starts, self.grid.box, strict=True))
        cropped = {name: data[name][:, x, y, z] for name in ("image", "label")}
        if self.grid.dims == 2:
            cropped = {name: crop[..., 0] for name, crop in cropped.items()}
        return {**cropped, **{name: data[name] for name in ("labelled", "annotated", "phase")}}
