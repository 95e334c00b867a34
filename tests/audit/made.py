"""A toy cohort: two organs that are partners and a third, in two phases, in scans of a few voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from scripts.audit.scan import ScanReader
from scripts.audit.vectors import Encoding
from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.networks.pooling import RegionPooling
from scripts.queries.grid import QueryGrid
from tests.conftest import write_nifti

ORGANS = {"liver": (9, 12, 6, 5), "right_kidney": (20, 8, 5, 3), "left_kidney": (20, 18, 5, 3)}  # centre, radius
TABLE = LabelTable(
    (Organ("liver", 1), Organ("right_kidney", 2, "left_kidney"), Organ("left_kidney", 3, "right_kidney")),
    ("noncontrast", "portal"),
)
SHAPE = (30, 26, 12)
WINDOW = (-160, 240)
BRIGHT = {"noncontrast": (60, 30, 30), "portal": (110, 170, 170)}  # HU of the organs


class Bright(nn.Module):
    """An encoder whose only map is the patch and the mask."""

    channels = (2,)
    spatial_dims = 2

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """One map (B, 3, P, P)."""
        return [torch.cat([inputs, 1 - inputs[:, :1]], 1)]


def label_map(rng: np.random.Generator) -> np.ndarray:
    """Object numbers of a patient: balls that differ in place and size."""
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    objects = np.zeros(SHAPE, np.int16)
    for number, (*centre, radius) in enumerate(ORGANS.values(), start=1):
        place = np.array(centre) + rng.normal(0, 0.4, 3)
        size = radius * rng.uniform(0.95, 1.05)
        objects[((voxels - place[:, None, None, None]) ** 2).sum(0) < size**2] = number
    return objects


def image_of(objects: np.ndarray, phase: str, rng: np.random.Generator) -> np.ndarray:
    """HU of a map's organs in a phase, with noise."""
    values = np.array([-60, *BRIGHT[phase]])
    return (values[objects] + rng.normal(0, 8, SHAPE)).astype(np.int16)


def toy_cohort(folder: Path, patients: int = 8) -> list[Case]:
    """Write scans and label maps of some patients, in turn of either phase."""
    cases = []
    for number in range(patients):
        rng, phase = np.random.default_rng(number), TABLE.phases[number % 2]
        objects = label_map(rng)
        image = write_nifti(folder / "images" / f"p{number}.nii.gz", image_of(objects, phase, rng))
        label = write_nifti(folder / "labels" / f"p{number}.nii.gz", objects.astype(np.uint8))
        cases.append(Case(f"p{number}", f"p{number}", phase, image, label, fold=number % 2))
    return cases


def reader(attention_dir: Path | str = "", encoded: bool = True) -> ScanReader:
    """A reader of the toy cohort's scans."""
    grid = QueryGrid(2, 16, [0, 0, 0], WINDOW)
    encoding = Encoding(Bright(), RegionPooling(), torch.device("cpu"), queries=2) if encoded else None
    return ScanReader(TABLE, grid, 1, str(attention_dir), encoding)
