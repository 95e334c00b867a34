"""Scores of objects fused into one label map."""

import pytest
import torch

from scripts.cohort.resampling import spread, strongest
from scripts.refine.label_fusion import box_above, fuse_labels

SHAPE = (40, 36, 12)


def scores(grid):
    """Of three objects in overlapping boxes of a grid."""
    rng = torch.Generator().manual_seed(0)
    sizes = [[side // 2 for side in grid], [side // 3 for side in grid], [2, 3, 2]]
    starts = [
        [1, 2, 1],
        [side // 3 for side in grid],
        [side - size for side, size in zip(grid, (2, 3, 2), strict=True)],
    ]
    return [
        (number, start, torch.rand(size, generator=rng).sqrt())
        for number, start, size in zip((4, 1, 2), starts, sizes, strict=True)
    ]


@pytest.mark.parametrize("certain", [None, 0.8])
@pytest.mark.parametrize("grid", [SHAPE, (27, 24, 12), (57, 30, 12), (27, 24, 20)])
@pytest.mark.parametrize("rows", [1, 3, 39, 40])
def test_slabs_give_what_argmax_of_the_whole_volume_would(rows, grid, certain, monkeypatch):
    monkeypatch.setattr("scripts.cohort.resampling.FUSED_VOXELS", rows * 36 * 12)
    seen = []
    monkeypatch.setattr("scripts.refine.label_fusion.strongest", lambda *given: seen.append(strongest(*given)))
    lowest = 0.5 if certain is None else 1 - certain
    found, unsure = fuse_labels(scores(grid), grid, SHAPE, lowest, certain, torch.device("cpu"))
    assert len(seen) == -(-40 // rows)
    every = torch.zeros(5, *SHAPE)
    for number, start, part in scores(grid):
        box, score = spread(part, start, grid, SHAPE)
        every[number][box] = score
    highest, expected = every.max(0)
    assert torch.equal(found.long(), torch.where(highest > 0.5, expected, 0))
    assert set(found.unique().tolist()) == {0, 1, 2, 4}
    if certain is None:
        assert unsure is None
    else:
        assert torch.equal(unsure, (highest > lowest) & (highest < certain))
        assert unsure.any()


def test_the_box_of_scores_above_a_threshold_has_a_margin_within_the_volume():
    score = torch.zeros(8, 8, 8)
    score[1, 3, 7] = score[2, 4, 7] = 0.6
    assert box_above(score, 0.5, (2, 1, 0)) == (slice(0, 5), slice(2, 6), slice(7, 8))
    assert box_above(score, 0.6, (2, 1, 0)) is None
