"""Injected errors: each changes what it says, and nothing else."""

import numpy as np
import pytest
from scipy import ndimage

from scripts.audit.injection import LEAKED, REMOVED, STRAY, Injector, another_map
from scripts.audit.kinds import ISLAND, LEAK, MISSING_PART, SLICE_OFF, WRONG_ORGAN
from scripts.audit.scan import INJECTED

from .made import TABLE, label_map

SIZE = (1.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def objects():
    return label_map(np.random.default_rng(0))


def injected(objects, kind, number, seed=0):
    return Injector(objects, TABLE, SIZE, np.random.default_rng(seed)).inject(kind, number)


@pytest.mark.parametrize("kind", INJECTED)
def test_the_map_itself_is_never_changed_and_a_seed_repeats_the_error(objects, kind):
    before = objects.copy()
    made, again, other = (injected(objects, kind, 1, seed) for seed in (3, 3, 4))
    assert (objects == before).all()
    assert (made != objects).any()
    assert (made == again).all()
    assert kind in (WRONG_ORGAN, SLICE_OFF) or (made != other).any()


def test_partners_are_exchanged(objects):
    made = injected(objects, WRONG_ORGAN, 2)
    assert ((made == 2) == (objects == 3)).all()
    assert ((made == 3) == (objects == 2)).all()
    assert ((made == 1) == (objects == 1)).all()


def test_an_organ_without_a_partner_is_exchanged_with_one_near_it(objects):
    made = injected(objects, WRONG_ORGAN, 1)
    taken = [number for number in (2, 3) if ((objects == number) == (made == 1)).all()]
    assert len(taken) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_part_is_missing(objects, seed):
    made = injected(objects, MISSING_PART, 1, seed)
    share = 1 - (made == 1).sum() / (objects == 1).sum()
    assert REMOVED[0] - 0.05 <= share <= REMOVED[1] + 0.05
    assert not (made[objects == 0] != 0).any()
    assert ((made == 2) == (objects == 2)).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_holds_to_the_organ(objects, seed):
    made = injected(objects, LEAK, 1, seed)
    grown = (made == 1).sum() / (objects == 1).sum() - 1
    assert LEAKED[0] - 0.05 <= grown <= LEAKED[1] + 0.05
    assert (made[objects == 1] == 1).all()
    assert ndimage.label(made == 1)[1] == 1


@pytest.mark.parametrize("seed", range(5))
def test_an_island_lies_apart(objects, seed):
    made = injected(objects, ISLAND, 3, seed)
    added = (made == 3) & (objects != 3)
    assert (objects[added] == 0).all()
    assert 0 < added.sum() / (objects == 3).sum() <= STRAY[1] + 0.05
    assert ndimage.label(made == 3)[1] > 1


def test_slices_off_move_the_organ_along_the_third_axis_alone(objects):
    made = injected(objects, SLICE_OFF, 2)
    first, second = (np.argwhere(one == 2) for one in (objects, made))
    steps = second.mean(0) - first.mean(0)
    assert abs(steps[2]) >= 0.99
    assert steps[:2] == pytest.approx([0, 0])
    assert len(first) == len(second)


def test_what_cannot_be_injected_is_left_out(objects):
    assert injected(np.where(objects == 1, 1, 0), WRONG_ORGAN, 1) is None  # nothing to take it for
    assert injected(objects, LEAK, 17) is None
    assert injected(np.ones((3, 3, 3), np.int16), ISLAND, 1) is None  # no background


def test_another_map_lies_on_the_grid_of_this_scan(objects):
    made = another_map(objects, (15, 13, 12))
    assert made.shape == (15, 13, 12)
    assert set(np.unique(made)) == {0, 1, 2, 3}
