"""Whole volumes through windows, back on their own voxels, in any orientation."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from scripts.cohort.label_table import LabelTable, Organ
from scripts.cohort.resampling import resample
from scripts.errors import SemclError
from scripts.multiclass.grid import SegmentGrid
from scripts.multiclass.inferer import SegmentInferer
from scripts.refine.volumes import PrepareVolume, VolumeDataset
from tests.refine.made import preprocessing, to_stored

SHAPE, AFFINE = (22, 15, 6), np.diag([1.0, 1.5, 3.0, 1.0])
TABLE = LabelTable((Organ("liver", 7), Organ("spleen", 2)), ("ct",))
WINDOW = [-100, 100]
GRIDS = {
    "slices": SegmentGrid(2, [24, 16], [1.0, 1.5, 0], WINDOW),
    "resampled slices": SegmentGrid(2, [16, 16], [1.4, 1.2, 0], WINDOW),
    "windows of slices": SegmentGrid(2, [8, 8], [1.4, 1.2, 0], WINDOW),
    "patches": SegmentGrid(3, [16, 8, 8], [1.4, 1.2, 2.0], WINDOW),
}
ORIENTATIONS = [
    "".join(sides[axis] for axis in order)
    for sides in itertools.product("RL", "AP", "SI")
    for order in itertools.permutations(range(3))
]


def by_threshold(image: torch.Tensor) -> torch.Tensor:
    """Logits of background, liver above 0 and spleen above 1/2."""
    number = (image > 0).long() + (image > 0.5).long()
    return torch.nn.functional.one_hot(number[:, 0], 3).movedim(-1, 1).float()


def scan() -> NDArray[np.int16]:
    rng = np.random.default_rng(0)
    smooth = resample(torch.from_numpy(rng.uniform(-150, 150, (1, 6, 5, 3))), SHAPE)
    return smooth[0].numpy().astype(np.int16)


def turned(voxels: NDArray, codes: str) -> nib.Nifti1Image:
    """Voxels (X, Y, Z) in RAS, stored otherwise."""
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    stored = nib.orientations.apply_orientation(voxels, turn)
    return nib.Nifti1Image(np.ascontiguousarray(stored), AFFINE @ inv_ornt_aff(turn, SHAPE))


def segmented(path: Path, grid: SegmentGrid) -> NDArray:
    """As segment_inference.yaml does."""
    data = VolumeDataset([{"case": "a", "image": str(path)}], preprocessing(TABLE))
    (batch,) = DataLoader(data, batch_size=1)
    image, *_ = PrepareVolume()(batch, torch.device("cpu"))
    drawn = SegmentInferer(grid, 2)(image, by_threshold)
    return np.asarray(to_stored({"pred": drawn[0], "image": batch["image"][0]}, TABLE)[0])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_map_of_a_scan_lies_on_its_own_voxels(codes, grid, tmp_path):
    path = tmp_path / "a.nii"
    nib.save(turned(scan(), codes), path)
    image = MetaTensor(torch.from_numpy(scan().astype(np.float32))[None], affine=torch.from_numpy(AFFINE))
    scores = by_threshold(GRIDS[grid].image(image)[None])[0]
    numbers = resample(scores, SHAPE).argmax(0).numpy()
    expected = turned(np.array([0, 7, 2], np.uint8)[numbers], codes).get_fdata()
    assert np.array_equal(segmented(path, GRIDS[grid]), expected)


def test_components_are_removed_where_that_is_asked_for():
    image = torch.full((1, 1, 16, 16, 2), -100.0)
    image[:, :, 2:8, 2:8], image[:, :, 12, 12] = 100, 100
    grid = SegmentGrid(2, [16, 16], [0, 0, 0], WINDOW)
    assert SegmentInferer(grid, 2)(image, by_threshold).eq(2).sum() == 74
    assert SegmentInferer(grid, 2, smallest_island=0.5)(image, by_threshold).eq(2).sum() == 72


@pytest.mark.parametrize("grid", GRIDS)
def test_a_network_that_gives_no_numbers_is_an_error_and_no_empty_map(grid):
    image = MetaTensor(torch.zeros(1, 1, *SHAPE), meta={"case": ["case007"]})
    with pytest.raises(SemclError, match=r"(?s)case case007: the scores of the segmenting network are not finite"):
        SegmentInferer(GRIDS[grid], 2)(image, lambda inputs: by_threshold(inputs) * torch.nan)
