"""Views of slices."""

import pytest
import torch

from scripts import ranks
from scripts.errors import SemclError
from scripts.multiclass.augmentation import Augmentation
from scripts.multiclass.views import PrepareSliceViews

BATCH = {
    "image": torch.rand(3, 1, 16, 16) * 2 - 1,
    "label": torch.full((3, 1, 16, 16), -1, dtype=torch.int16),
    "phase": torch.tensor([1, 0, 1]),
}


@pytest.mark.parametrize(("meaning", "labels"), [("slice", [0, 1, 2, 0, 1, 2]), ("phase", [1, 0, 1, 1, 0, 1])])
def test_two_views_of_each_slice_and_what_they_have_in_common(meaning, labels):
    views, found = PrepareSliceViews(Augmentation(moved=1), meaning)(BATCH, torch.device("cpu"))
    assert views.shape == (6, 1, 16, 16)
    assert found.tolist() == labels
    assert not torch.equal(views[:3], views[3:])


def test_a_slice_of_another_rank_is_another_one(monkeypatch):
    found = []
    monkeypatch.setattr(ranks, "count", lambda: 2)
    for number in range(2):
        monkeypatch.setattr(ranks, "number", lambda number=number: number)
        found.append(set(PrepareSliceViews(Augmentation())(BATCH, torch.device("cpu"))[1].tolist()))
    assert not found[0] & found[1]


def test_another_meaning_is_refused():
    with pytest.raises(SemclError, match="meaning"):
        PrepareSliceViews(Augmentation(), "cluster")
