"""Simulated attention maps: label maps with errors, the same each time, and larger ones for larger numbers."""

import nibabel as nib
import numpy as np
import pytest
import torch

from scripts.coarse.inferer import CoarseInferer
from scripts.coarse.simulated import simulate_map, simulate_maps
from scripts.cohort.attention import attention_path
from scripts.cohort.case import Case
from tests.conftest import write_nifti

INFERER = CoarseInferer((24, 24, 16), [0, 1])


@pytest.fixture
def objects() -> torch.Tensor:
    """Two organs, and voxels that are ignored."""
    found = torch.zeros(48, 48, 32, dtype=torch.int16)
    found[6:24, 8:30, 6:24] = 1
    found[28:42, 10:40, 8:20] = 2
    found[:, :, 30:] = -1
    return found


def dice(found: torch.Tensor, objects: torch.Tensor, organ: int) -> float:
    one, other = found == organ, objects == organ
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_without_errors_only_the_small_volume_smooths_an_organ(objects):
    found = simulate_map(objects, 2, INFERER, 0.0, "a")
    assert found.shape == objects.shape
    assert set(found.unique().tolist()) == {0, 1, 2}
    assert min(dice(found, objects, organ) for organ in (1, 2)) > 0.9


def test_larger_errors_overlap_less(objects):
    found = [simulate_map(objects, 2, INFERER, errors, "a") for errors in (0.0, 0.5, 1.0, 2.0)]
    overlap = [dice(one, objects, 1) + dice(one, objects, 2) for one in found]
    assert overlap == sorted(overlap, reverse=True)
    assert overlap[0] - overlap[-1] > 0.2


@pytest.mark.parametrize("slices", [1, 2])
def test_a_picture_or_a_few_slices_keep_their_organs(slices):
    objects = torch.zeros(96, 96, slices, dtype=torch.int16)
    objects[20:70, 30:80] = 1
    inferer = CoarseInferer((96, 96, slices), [0, 1])
    for case in "abcdef":
        assert 0.7 < dice(simulate_map(objects, 1, inferer, 0.6, case), objects, 1) < 1


def test_errors_are_those_of_the_case_each_time(objects):
    one, again, other = (simulate_map(objects, 2, INFERER, 0.6, case) for case in ("a", "a", "b"))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_an_organ_that_is_missing_stays_missing(objects):
    assert set(simulate_map(objects.clamp_max(1), 2, INFERER, 0.6, "a").unique().tolist()) == {0, 1}


def test_maps_are_written_on_the_voxels_of_the_scan_and_unreadable_cases_reported(table, tmp_path, objects):
    indices = np.array([0, *(organ.index for organ in table.organs)], np.int16)[objects.clamp_min(0).numpy()]
    image, label = (write_nifti(tmp_path / f"{name}.nii", values) for name, values in
                    (("image", np.zeros(indices.shape, np.int16)), ("label", indices)))  # fmt: skip
    cases = [Case("a", "p", "portal", image, label, 0), Case("b", "q", "portal", tmp_path / "gone.nii", label, 1)]
    failed = []
    simulate_maps(cases, INFERER, table, str(tmp_path), 0.3, lambda case, error: failed.append((case, str(error))))
    assert [case for case, _ in failed] == ["b"]
    assert "a file of the datalist is missing" in failed[0][1]
    written = nib.load(attention_path(tmp_path, "a"))
    assert np.allclose(written.affine, nib.load(image).affine)
    assert set(np.unique(written.dataobj)) == {0, *(organ.index for organ in table.organs[:2])}


def test_only_organs_that_the_network_learns_are_simulated(objects):
    inferer = CoarseInferer((24, 24, 16), [0, 1], objects=[2])
    found = simulate_map(objects, 2, inferer, 0.0, "a")
    assert set(found.unique().tolist()) == {0, 2}
    assert dice(found, objects, 2) > 0.9
