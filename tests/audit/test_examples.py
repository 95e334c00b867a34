"""The table of objects: selecting, joining, writing, and files that cannot be used."""

import numpy as np

from scripts.audit.examples import joined, read_examples


def test_it_is_read_as_it_was_written(gathered, tmp_path):
    path = tmp_path / "a" / "case.npz"
    gathered.write(path, "key")
    again = read_examples(path, "key")
    assert again is not None
    assert (again.cases == gathered.cases).all()
    assert np.array_equal(again.vectors, gathered.vectors)
    assert np.array_equal(again.measures, gathered.measures, equal_nan=True)


def test_of_another_key_damaged_or_missing_it_is_not_read(gathered, tmp_path):
    path = tmp_path / "case.npz"
    assert read_examples(path, "key") is None
    gathered[np.arange(3)].write(path, "key")
    assert read_examples(path, "other") is None
    path.write_bytes(path.read_bytes()[:200])
    assert read_examples(path, "key") is None


def test_parts_are_joined_in_order(gathered):
    parts = [gathered[gathered.cases == "p1"], gathered[gathered.cases == "p0"]]
    both = joined(parts)
    assert len(both) == len(parts[0]) + len(parts[1])
    assert both.cases[0] == "p1"
    assert both.clean.sum() == 6
