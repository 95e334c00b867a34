"""Limits on files, sizes and affines, and the kinds of readers' errors."""

import os

import numpy as np
import pytest

from scripts.cohort.volume_errors import (
    LIMIT,
    MAX_VOXELS,
    VolumeError,
    first_line,
    kind_of,
    max_voxels,
    require_file,
    require_place,
    require_size,
)
from scripts.errors import SemclError


def test_an_error_has_a_kind_and_a_first_line():
    assert kind_of(VolumeError("too_large", "9")) == "too_large"
    assert kind_of(ValueError("x")) == "unreadable"
    assert first_line(RuntimeError("source.cxx:12:\nITK ERROR: it broke\nmore")) == "ITK ERROR: it broke"
    assert first_line(ValueError("\n a \nb")) == "a"
    assert first_line(KeyError()) == "KeyError"


def test_the_limit_of_voxels_is_from_the_environment(monkeypatch):
    assert max_voxels() == MAX_VOXELS
    monkeypatch.setenv(LIMIT, "12")
    assert max_voxels() == 12
    for wrong in ("0", "-1", "1e9", "9" * 19):
        monkeypatch.setenv(LIMIT, wrong)
        with pytest.raises(SemclError, match=f"{LIMIT} is not a number of voxels"):
            max_voxels()


def test_a_volume_may_have_as_many_voxels_as_the_limit():
    require_size((2, 3, 4), 24)
    with pytest.raises(VolumeError, match="2 x 3 x 4 voxels, over the limit of 23"):
        require_size((2, 3, 4), 23)


def test_a_pipe_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(VolumeError) as raised:
        require_file(tmp_path / "a.nii")
    assert raised.value.kind == "not_a_file"


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [((0.01, 1, 100), None), ((0.005, 1, 1), "voxel_size"), ((1, 1, 101), "voxel_size"), ((0, 1, 1), "bad_affine")],
)
def test_voxels_have_a_plausible_size(sizes, kind):
    affine = np.diag([*map(float, sizes), 1.0])
    if kind is None:
        require_place(affine)
        return
    with pytest.raises(VolumeError) as raised:
        require_place(affine)
    assert raised.value.kind == kind


def test_axes_are_independent():
    affine = np.eye(4)
    affine[:, 1] = affine[:, 0]
    with pytest.raises(VolumeError) as raised:
        require_place(affine)
    assert raised.value.kind == "bad_affine"
