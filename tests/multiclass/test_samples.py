"""Training samples of plain networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.cohort.case import Case
from scripts.multiclass.grid import SegmentGrid
from scripts.multiclass.samples import RandomCrop, ReadOnGrid
from tests.conftest import write_nifti


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A scan in another orientation, with liver (5) everywhere on its first slice and a left kidney of one voxel."""
    rng = np.random.default_rng(0)
    voxels = rng.integers(-200, 300, size=(10, 9, 4)).astype(np.int16)
    indices = np.zeros((10, 9, 4), np.uint8)
    indices[:, :, 0], indices[7, 3, 2] = 5, 9
    affine = np.diag([-1.0, 1, 1, 1])
    return Case(
        "a",
        "a",
        "portal",
        write_nifti(tmp_path / "a.nii", voxels, affine),
        write_nifti(tmp_path / "b.nii", indices, affine),
    )


def test_a_sample_is_the_volume_in_ras_padded_with_air(case, table):
    grid = SegmentGrid(2, [16, 8], [0, 0, 0], [-160, 240])
    sample = ReadOnGrid(table, grid)({"case": case, "labelled": True})
    assert sample["image"].shape == (1, 16, 9, 4)
    assert sample["label"].shape == (1, 16, 9, 4)
    assert (sample["image"][:, :3] == -1).all()
    assert sample["label"][:, :3].eq(0).all()
    assert sample["label"][0, 3 + 2, 3, 2] == 3
    assert sample["phase"] == 1
    assert sample["annotated"].tolist() == [True] * 4
    assert [len(centres) for centres in sample["centres"]] == [360, 90, 0, 1]


def test_the_label_map_of_a_case_that_is_not_labelled_is_not_read(case, table):
    case.label.write_text("garbage")
    grid = SegmentGrid(2, [8, 8], [0, 0, 0], [-160, 240])
    sample = ReadOnGrid(table, grid)({"case": case, "labelled": False})
    assert sample["label"].eq(-1).all()
    assert sample["annotated"].tolist() == [True, False, False, False]
    assert [len(centres) for centres in sample["centres"]] == [360, 0, 0, 0]


def test_an_organ_that_a_pseudo_label_lacks_is_unknown_there(case, table):
    grid = SegmentGrid(2, [8, 8], [0, 0, 0], [-160, 240])
    sample = ReadOnGrid(table, grid)({"case": replace(case, pseudo=True), "labelled": True})
    assert sample["annotated"].tolist() == [True, True, False, True]
    assert sample["label"].unique().tolist() == [0, 1, 3]


@pytest.mark.parametrize(("dims", "size"), [(2, [8, 8]), (3, [8, 8, 2])])
def test_crops_are_centred_on_organs_as_often_as_asked_for(dims, size, case, table):
    grid = SegmentGrid(dims, size, [0, 0, 0], [-160, 240])
    sample = ReadOnGrid(table, grid)({"case": case, "labelled": True})
    crop = RandomCrop(grid, 1.0, len(table))
    crop.set_random_state(0)
    crops = [crop(sample) for _ in range(200)]
    assert {one["image"].shape for one in crops} == {(1, *size)}
    kidney = sum(bool((one["label"] == 3).any()) for one in crops) / 200
    assert 0.4 < kidney < 0.6
    liver = [one for one in crops if (one["label"] == 1).any() and not (one["label"] == 3).any()]
    assert dims == 3 or all((one["label"] == 1).all() for one in liver)
    anywhere = RandomCrop(grid, 0.0, len(table))
    anywhere.set_random_state(0)
    assert sum(bool((anywhere(sample)["label"] == 1).any()) for _ in range(200)) < 120


@pytest.mark.parametrize("foreground", [0.5, 1.0])
def test_of_a_volume_without_organs_crops_lie_anywhere(foreground, case, table):
    grid = SegmentGrid(2, [8, 8], [0, 0, 0], [-160, 240])
    sample = ReadOnGrid(table, grid)({"case": case, "labelled": False})
    crop = RandomCrop(grid, foreground, len(table))
    crop.set_random_state(0)
    assert len({float(crop(sample)["image"].mean()) for _ in range(20)}) > 5


def test_the_same_seed_gives_the_same_crops(case, table):
    grid = SegmentGrid(2, [8, 8], [0, 0, 0], [-160, 240])
    sample = ReadOnGrid(table, grid)({"case": case, "labelled": True})
    crop = RandomCrop(grid, 0.3, len(table))
    first, second = ([], [])
    for crops in (first, second):
        crop.set_random_state(3)
        crops += [crop(sample)["image"] for _ in range(5)]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
