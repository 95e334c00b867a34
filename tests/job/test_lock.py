"""Locks of runs on a folder."""

import pytest

from scripts.errors import SemclError
from scripts.job.lock import Locks


def test_a_lock_excludes_others_until_it_is_released(tmp_path):
    first, second = Locks(tmp_path / "jobs"), Locks(tmp_path / "jobs")
    first.claim({"train": False})
    with pytest.raises(SemclError, match="another run of train is writing here"):
        second.claim({"train": False})
    first.release()
    second.release()
    second.claim({"train": False})


def test_shared_locks_exclude_only_exclusive_ones(tmp_path):
    runs = [Locks(tmp_path) for _ in range(3)]
    runs[0].claim({"store": True, "store.1of2": False})
    runs[1].claim({"store": True, "store.2of2": False})
    with pytest.raises(SemclError, match="another run of store is"):
        runs[2].claim({"store": False})
    with pytest.raises(SemclError, match=r"another run of store\.1of2 is"):
        runs[2].claim({"store": True, "store.1of2": False})


def test_a_short_section_is_left_when_its_body_raises(tmp_path):
    locks = Locks(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyError), locks.one_at_a_time("rows"):
            raise KeyError
