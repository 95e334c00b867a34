"""Shards: parts of a list for independent runs."""

import pytest

from scripts.errors import SemclError
from scripts.job.shard import Shard


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "/2", "1/0", "a/b", "-1/3", "1/3/5", ""])
def test_an_invalid_shard_is_refused(text):
    with pytest.raises(SemclError, match=r"(?s)not a shard.*3/8"):
        Shard.of(text)


@pytest.mark.parametrize(("length", "count"), [(10, 3), (2, 5), (6, 1), (0, 2)])
def test_shards_are_even_and_disjoint(length, count):
    parts = [Shard.of(f"{number}/{count}").of_list(range(length)) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
