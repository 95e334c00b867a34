"""The findings of the intake on real scans."""

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort.label_table import LabelTable, Organ
from scripts.cohort.volume import read
from scripts.intake.survey import Sources, survey
from tests.real.test_ct_abdomen import ORGANS
from tests.stages import ROOT

pytestmark = pytest.mark.real


def test_problems_of_the_hippocampus_set_are_reported(real_data):
    folder = real_data / "mr_hippocampus"
    table = LabelTable.read(ROOT / "tests" / "real" / "hippocampus_labels.yaml")
    findings = survey(Sources(folder / "images", folder / "labels", modality="MR"), table).findings
    assert {(item.case, item.name) for item in findings if item.severity == "error"} == {
        ("hippocampus_010", "label_without_image"),
        ("hippocampus_118", "image_without_label"),
        ("hippocampus_281", "label_without_image"),
    }
    assert {item.name for item in findings if item.severity != "error"} == {"intensity_spread"}


@pytest.fixture
def abdomen():
    """The table of the real CT: only the organs of the phantoms, with their sides."""
    partner = {"right_kidney": "left_kidney", "left_kidney": "right_kidney"}
    return LabelTable(tuple(Organ(name, index, partner.get(name)) for name, index in ORGANS.items()), ("ct",))


def kept(source, table, path):
    """A copy of a label map with the organs of the table alone."""
    label = nib.load(source)
    voxels = np.asarray(label.dataobj)
    held = np.isin(voxels, [organ.index for organ in table.organs])
    nib.save(nib.Nifti1Image(np.where(held, voxels, 0).astype(np.uint8), label.affine), path)
    return path


def test_a_real_ct_has_no_errors(real_data, tmp_path, abdomen):
    folder = real_data / "ct_abdomen"
    label = kept(folder / "total_label.nii.gz", abdomen, tmp_path / "label.nii.gz")
    findings = survey(Sources(folder / "ct.nii.gz", label), abdomen).findings
    assert not [item for item in findings if item.severity == "error"]


def test_a_real_series_lies_where_its_label_map_does(real_data, tmp_path, abdomen):
    folder = real_data / "ct_dicom"
    label = kept(folder / "total_label.nii.gz", abdomen, tmp_path / "label.nii.gz")
    found = survey(Sources(folder / "series", label), abdomen)
    assert not [item for item in found.findings if item.severity == "error"]
    image, truth = read(found.cases[0].image, "series"), read(label, "series")
    assert image.shape == truth.shape == (1, 512, 512, 20)
    np.testing.assert_allclose(image.affine.numpy(), truth.affine.numpy(), atol=1e-3)
    assert 0 < float(image[truth == ORGANS["liver"]].mean()) < 250  # HU
