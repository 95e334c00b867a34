"""Patches cut by batches are those the grid cuts one by one."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.queries.grid import AIR, QueryGrid
from scripts.refine.patches import VolumePatches


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("spacing", [[0, 0, 0], [1.3, 2.0, 0], [0.7, 1.0, 4.0]])
@pytest.mark.parametrize(("grow", "channels"), [(0, 1), (2, 1), (0, 3)])
def test_a_batch_is_what_the_grid_cuts_from_the_whole_volume(dims, spacing, grow, channels):
    rng = np.random.default_rng(0)
    voxels = torch.from_numpy(rng.uniform(-300, 400, size=(channels, 30, 26, 9)).astype(np.float32))
    image = MetaTensor(voxels, affine=torch.diag(torch.tensor([1.0, 1.5, 3.0, 1.0])), meta={})
    grid = QueryGrid(dims, 8, spacing, [-160, 240])
    objects = torch.zeros(grid.shape(image), dtype=torch.int16)
    objects[3:20, 2:9, 1:] = 4
    objects[-5:, -6:, -2:] = 2
    patches = VolumePatches(grid, image, objects, grow)
    rows = patches.queries.tolist()
    rows += [[number, x + 4 * grow, y - 4 * grow, z] for number, x, y, z in rows]
    whole = grid.image(image)
    for row, (*cut, mask) in zip(rows, patches.cut(rows), strict=True):
        expected = grid.cut(whole, row[1:], outside=AIR)
        torch.testing.assert_close(torch.stack(cut), expected, atol=1e-6, rtol=1e-6)
        assert torch.equal(mask, (grid.cut(objects, row[1:]) == row[0]).float())


def test_a_volume_without_objects_has_no_queries():
    image = MetaTensor(torch.zeros(1, 9, 8, 7), affine=torch.eye(4), meta={})
    patches = VolumePatches(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), image, torch.zeros(9, 8, 7, dtype=torch.int16), 1)
    assert patches.queries.shape == (0, 4)


def test_voxels_that_no_query_can_reach_are_not_kept():
    image = MetaTensor(torch.zeros(1, 400, 400, 50), affine=torch.eye(4), meta={})
    objects = torch.zeros(400, 400, 50, dtype=torch.int16)
    objects[200:204, 100:104, 20:22] = 1
    patches = VolumePatches(QueryGrid(2, 16, [0, 0, 0], [-160, 240]), image, objects, 1)
    kept = [windows.untyped_storage().nbytes() for windows in patches.windows]
    assert kept == [32 * 32 * 2 * 4, 32 * 32 * 2 * 2]
    assert not any(isinstance(value, torch.Tensor) and value.numel() == 32 * 32 * 2 for value in vars(patches).values())
