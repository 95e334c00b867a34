"""Building of a query store: the arrays and notes of a case."""

import numpy as np
import pytest

from scripts.cohort.case import Case
from scripts.queries.building import build_all, build_case, write_array
from scripts.queries.grid import QueryGrid
from tests.conftest import write_nifti


def cases(*names):
    return [Case(name, name, "portal", name) for name in names]


def test_a_note_locates_the_voxels_in_their_file(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    note = write_array(tmp_path / "a.npy", array)
    assert (note["shape"], note["dtype"]) == ([2, 3, 4], "<i2")
    content = (tmp_path / "a.npy").read_bytes()
    assert content[note["offset"] :] == array.tobytes()
    assert note["size"] == len(content)


def test_a_case_has_slices_first_and_a_target_with_a_label_map(table, tmp_path):
    label = np.zeros((6, 5, 3), np.uint8)
    label[2:4, 2:4, 1] = 5
    image, path = (write_nifti(tmp_path / f"{name}.nii", label) for name in ("image", "label"))
    grid = QueryGrid(2, 4, [0, 0, 0], [-1, 1])
    for stored, names in (
        (None, ["image", "attention", "queries"]),
        (path, ["image", "attention", "queries", "target"]),
    ):
        notes = build_case(Case("a", "a", "portal", image, stored), path, tmp_path / "a", table, grid, 1)
        assert list(notes) == names
    assert np.load(tmp_path / "a" / "image.npy").shape == (3, 1, 6, 5)
    np.testing.assert_array_equal(
        np.load(tmp_path / "a" / "target.npy"), (label == 5).astype(np.int8).transpose(2, 0, 1)
    )
    assert np.load(tmp_path / "a" / "queries.npy").tolist() == [[1, 1, 1, 1]]


def test_cases_are_built_in_parallel_and_an_error_is_raised():
    assert build_all([], lambda case: {}, None) == {}
    assert build_all(cases("a", "b"), lambda case: {"id": case.id}, 2) == {"a": {"id": "a"}, "b": {"id": "b"}}
    with pytest.raises(KeyError):
        build_all(cases("a", "b"), lambda case: {}[case.id], 1)
