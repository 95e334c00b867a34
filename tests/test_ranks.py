"""The ranks of a job, with a single process."""

from types import SimpleNamespace

import numpy as np
import pytest

from scripts import ranks
from scripts.errors import SemclError


def as_rank(monkeypatch, number, count):
    """Be one of several ranks that have the same as this."""

    def all_gather_object(values, value):
        values[:] = [value] * count

    process = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: number,
        get_world_size=lambda: count, all_gather_object=all_gather_object,
    )  # fmt: skip
    monkeypatch.setattr(ranks, "dist", process)


def test_a_process_alone_is_the_first_and_only_rank():
    assert (ranks.number(), ranks.count()) == (0, 1)
    assert ranks.own([1, 2, 3]) == [1, 2, 3]
    assert ranks.gathered("this") == ["this"]
    assert ranks.share(7, "seven") == 7


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 6, 7])
def test_the_parts_of_all_ranks_make_the_whole(count, length, monkeypatch):
    parts = []
    for number in range(count):
        as_rank(monkeypatch, number, count)
        parts.append(ranks.own(list(range(length))))
    assert ranks.interleaved(parts) == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_rows_of_an_array_are_shared_as_a_list_is(monkeypatch):
    as_rank(monkeypatch, 1, 3)
    assert ranks.own(np.arange(14).reshape(7, 2)).tolist() == [[2, 3], [8, 9]]


@pytest.mark.parametrize(("size", "count", "each"), [(8, 2, 4), (8, 8, 1), (0, 2, 0)])
def test_a_batch_is_shared_evenly(size, count, each, monkeypatch):
    as_rank(monkeypatch, 0, count)
    assert ranks.share(size, "batch_size") == each


@pytest.mark.parametrize(("size", "count"), [(1, 2), (9, 2), (8, 3)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(size, count, monkeypatch):
    as_rank(monkeypatch, 0, count)
    with pytest.raises(SemclError, match=rf"(?s)a batch of {size} .* {count} ranks.*{size} = batch_size"):
        ranks.share(size, "batch_size")


def test_an_error_of_the_first_rank_ends_all_ranks(monkeypatch):
    def fail():
        raise SemclError("no", found="a", expected="b", remedy="c")

    with pytest.raises(SemclError, match="no"):
        ranks.first_alone(fail)
    as_rank(monkeypatch, 1, 2)
    monkeypatch.setattr(ranks, "gathered", lambda value: [True, value])
    with pytest.raises(SystemExit, match="1"):
        ranks.first_alone(fail)
