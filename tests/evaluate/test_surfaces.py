"""Surfaces: ignored voxels add none, single slices along every axis are outlines, NSD by area is the cited one."""

from collections.abc import Sequence

import numpy as np
import pytest
import surface_distance

from scripts.errors import SemclError
from scripts.evaluate.metrics import measure_organ
from scripts.evaluate.surfaces import surface_metrics

MM = (1.0, 1.0, 1.0)


def sphere(shift: float = 0, radius: float = 12) -> np.ndarray:
    """A sphere in a field of 40 mm, ``shift`` mm along the first axis."""
    axes = np.meshgrid(*[np.arange(40) - 20 - move for move in (shift, 0, 0)], indexing="ij")
    return sum(axis**2 for axis in axes) <= radius**2


def every_fourth_slice() -> np.ndarray:
    """Known voxels, where every fourth slice is ignored."""
    known = np.ones((40, 40, 40), bool)
    known[..., ::4] = False
    return known


@pytest.mark.parametrize("nsd", ["area", "edges"])
def test_ignored_slices_leave_the_surface_metrics_of_a_shifted_sphere_nearly_as_they_are(nsd: str) -> None:
    known = every_fourth_slice()
    whole = surface_metrics(sphere(4), sphere(), MM, 2.0, nsd=nsd)
    found = surface_metrics(sphere(4), sphere() & known, MM, 2.0, known, nsd)
    cut = surface_metrics(sphere(4) & known, sphere() & known, MM, 2.0, nsd=nsd)  # surfaces that both masks share
    assert found["nsd"] == pytest.approx(whole["nsd"], abs=0.06)
    assert cut["nsd"] > whole["nsd"] + 0.2
    assert found["hd95"] == pytest.approx(whole["hd95"], abs=0.6)
    assert found["assd"] == pytest.approx(whole["assd"], abs=0.2)


def test_what_is_predicted_where_the_ground_truth_is_ignored_changes_nothing() -> None:
    known = np.ones((40, 40, 40), bool)
    known[:, :, 30:] = False
    truth = sphere() & known
    more = sphere(2)
    more[5:30, 5:30, 35:] = True
    found = [measure_organ(mask, truth, MM, 1.0, 70.0, known) for mask in (sphere(2), more)]
    assert found[0] == found[1]
    assert found[0]["volume_ml"] == (sphere(2) & known).sum() / 1000


def test_a_ground_truth_amid_ignored_voxels_is_measured_by_its_border() -> None:
    truth = sphere()
    assert surface_metrics(sphere(), truth, MM, 1.0, truth) == {"nsd": 1, "hd95": 0, "assd": 0}


def test_without_ignored_voxels_known_changes_nothing() -> None:
    everywhere = np.ones((40, 40, 40), bool)
    assert surface_metrics(sphere(3), sphere(), MM, 1.0, everywhere) == surface_metrics(sphere(3), sphere(), MM, 1.0)


@pytest.mark.parametrize("nsd", ["area", "edges"])
@pytest.mark.parametrize("axis", [0, 1, 2], ids=["sagittal", "coronal", "axial"])
def test_a_single_slice_is_measured_by_its_outlines_along_every_axis(axis: int, nsd: str) -> None:
    flat = [mask[:, 20] for mask in (sphere(4), sphere())]
    sizes: Sequence[float] = np.insert([2.0, 1.0], axis, 5.0).tolist()
    found = surface_metrics(*[np.expand_dims(mask, axis) for mask in flat], sizes, 2.0, nsd=nsd)
    assert found == surface_metrics(*flat, (2.0, 1.0), 2.0, nsd=nsd)
    assert found["nsd"] < 0.8  # both faces of the slices agree everywhere and would count as 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nsd_of_a_single_slice_is_deepminds() -> None:
    flat = [mask[:, 20] for mask in (sphere(4), sphere())]
    theirs = surface_distance.compute_surface_distances(flat[1], flat[0], (2.0, 1.0))
    share = surface_distance.compute_surface_dice_at_tolerance(theirs, 2.0)
    assert surface_metrics(*flat, (2.0, 1.0), 2.0)["nsd"] == pytest.approx(share, abs=1e-5)


def test_a_line_of_voxels_can_be_measured() -> None:
    line = np.zeros((5, 9, 5), bool)
    line[2, 2:7, 2] = True
    assert surface_metrics(line, line, MM, 1.0) == {"nsd": 1, "hd95": 0, "assd": 0}


def test_an_unknown_count_is_refused() -> None:
    with pytest.raises(SemclError, match=r"nsd has no such value(?s:.*)did you mean area"):
        surface_metrics(sphere(), sphere(), MM, 1.0, nsd="areas")
