"""Volumes segmented from Python: the same voxels as those of inference.yaml, in the volume's own geometry."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from scripts.cohort import datalist
from scripts.errors import SemclError
from scripts.library.segmenting import segment
from tests.stages import run_here

COARSE = {"coarse_size": [24, 20, 16], "coarse_channels": [8, 16], "coarse_strides": [2]}
BRIEF = {"max_epochs": 1, "epoch_length": 1, "calibration_batches": 1}


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory):
    """A cohort's folder with models, and a folder with one scan, stored in another orientation, and its prediction."""
    folder, scans = tmp_path_factory.mktemp("trained"), tmp_path_factory.mktemp("scans")
    given = {"dataset_dir": phantoms, "output_dir": folder}
    run_here("coarse", **given, **COARSE, labelled_maps="none", max_epochs=5)
    run_here("train", **given, attention_dir=phantoms / "labels", encoder_weights=None, **BRIEF)
    scan = nib.load(datalist.load(phantoms, "testing")[0].image)
    turned = nib.orientations.ornt_transform(nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt("PIL"))
    nib.save(scan.as_reoriented(turned), scans / "scan.nii.gz")
    run_here("inference", dataset_dir=scans, output_dir=folder / "new", ckpt_dir=folder / "models", **COARSE)
    return folder / "models", scans / "scan.nii.gz", nib.load(folder / "new" / "predictions" / "scan.nii.gz")


def test_a_file_an_image_and_a_tensor_give_the_voxels_of_inference(trained):
    models, path, expected = trained
    scan = nib.load(path)
    wanted = np.asarray(expected.dataobj)
    assert len(np.unique(wanted)) > 3
    tensor = MetaTensor(torch.from_numpy(scan.get_fdata())[None], affine=torch.from_numpy(scan.affine))
    for volume in (path, str(path), scan, tensor, tensor[0]):
        labels = segment(volume, models)
        assert labels.shape == (1, *scan.shape)
        assert np.array_equal(np.asarray(labels[0]), wanted)
        assert np.allclose(np.asarray(labels.affine), expected.affine)


def test_a_volume_that_was_reoriented_keeps_its_axes(trained):
    models, path, expected = trained
    scan = nib.load(path)
    tensor = MetaTensor(torch.from_numpy(scan.get_fdata())[None], affine=torch.from_numpy(scan.affine))
    turned = Orientation("RAS", labels=None)(tensor)
    labels = segment(turned, models)
    assert labels.shape == turned.shape
    back = nib.Nifti1Image(np.asarray(labels[0]), np.asarray(labels.affine))
    assert np.array_equal(back.get_fdata(), nib.as_closest_canonical(expected).get_fdata())


def test_what_cannot_be_segmented_is_named(trained, tmp_path):
    models, path, _ = trained
    scan = nib.load(path)
    for volume, problem in (
        (torch.zeros(4, 4, 4), "a volume without a position.*found:    a Tensor"),
        (MetaTensor(torch.zeros(2, 4, 4, 4)), "a volume is not 3-D.*with 2 channels"),
        (MetaTensor(torch.full((4, 4, 4), torch.nan)), "not finite.*a MetaTensor"),
        (MetaTensor(torch.zeros(4, 4, 4), affine=torch.diag(torch.tensor([0.0, 1, 1, 1]))), "no usable affine"),
        (MetaTensor(torch.rand(8, 8, 8)), "shows next to nothing"),
        (tmp_path / "none.nii.gz", "case none: a file of the datalist is missing"),
    ):
        with pytest.raises(SemclError, match=f"(?s){problem}"):
            segment(volume, models)
    with pytest.raises(SemclError, match="there is no label table"):
        segment(scan, tmp_path)
    with pytest.raises(SemclError, match=r"(?s)unknown key --test_viewz.*did you mean --test_views"):
        segment(scan, models, test_viewz=5)
    with pytest.raises(SemclError, match="--smallest_island is out of bounds"):
        segment(scan, models, smallest_island=7.0)
    for given in ({"tool_maps": str(tmp_path)}, {"coarse_command": "cp {image} {out}"}):
        with pytest.raises(SemclError, match=r"(?s)has no name by which the map.*attention="):
            segment(scan, models, **given)


def test_an_overlay_that_was_edited_is_read_again(trained, tmp_path):
    models, path, expected = trained
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("keep_slices: true\n")
    assert np.array_equal(np.asarray(segment(path, models, overlay=str(overlay))[0]), np.asarray(expected.dataobj))
    overlay.write_text("keep_slices: yes please\n")
    with pytest.raises(SemclError, match="--keep_slices is of the wrong kind"):
        segment(path, models, overlay=str(overlay))
