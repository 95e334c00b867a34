"""Maps as TotalSegmentator leaves them, made of real CT, become attention that agrees with the label maps."""

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.label_table import LabelTable, Organ
from scripts.commands.attention import attention
from scripts.intake.prepare import prepare_cohort
from scripts.intake.tool_names import read_numbers
from tests.real.test_ct_abdomen import ORGANS

pytestmark = pytest.mark.real

PARTNERS = {"right_kidney": "left_kidney", "left_kidney": "right_kidney"}
EMPTY = ("heart", "lung_upper_lobe_left")  # TotalSegmentator writes masks of what is not in the scan, too


@pytest.fixture
def cohort(real_data, tmp_path):
    """A cohort of the real CT and the DICOM series, with the organs of the phantoms in its label table."""
    table = LabelTable(tuple(Organ(name, index, PARTNERS.get(name)) for name, index in ORGANS.items()), ("unknown",))
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    (tmp_path / "images" / "ct.nii.gz").symlink_to(real_data / "ct_abdomen" / "ct.nii.gz")
    (tmp_path / "images" / "series").symlink_to(real_data / "ct_dicom" / "series")
    for name, source in {"ct": "ct_abdomen", "series": "ct_dicom"}.items():
        label = nib.load(real_data / source / "total_label.nii.gz")
        voxels = np.asarray(label.dataobj)
        held = voxels * np.isin(voxels, list(ORGANS.values()))
        nib.save(nib.Nifti1Image(held.astype(np.uint8), label.affine), tmp_path / "labels" / f"{name}.nii.gz")
    prepare_cohort(tmp_path / "images", tmp_path / "labels", table, tmp_path / "cohort", None, 2, 0, 0)
    return tmp_path / "cohort"


def turned(label, axes):
    """A label map with its axes in another order and direction, as other tools store it."""
    wanted = nib.orientations.axcodes2ornt(axes)
    return label.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(label.affine), wanted))


@pytest.fixture
def maps(real_data, tmp_path):
    """A folder of masks of the CT, with voxels of half the size, and one file of all numbers of the series."""
    numbers = read_numbers("totalsegmentator")
    label = nib.load(real_data / "ct_abdomen" / "total_label.nii.gz")
    voxels = np.asarray(label.dataobj).astype(np.uint8)
    half = label.affine @ np.diag([0.5, 0.5, 0.5, 1])
    half[:3, 3] = (label.affine @ [-0.25, -0.25, -0.25, 1])[:3]
    folder = tmp_path / "maps" / "ct" / "segmentations"
    folder.mkdir(parents=True)
    names = {name: voxels == number for number, name in numbers.items() if (voxels == number).any()}
    for name, mask in (names | dict.fromkeys(EMPTY, np.zeros_like(voxels))).items():
        fine = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1).repeat(2, 2)
        nib.save(turned(nib.Nifti1Image(fine, half), "LPS"), folder / f"{name}.nii.gz")
    series = nib.load(real_data / "ct_dicom" / "total_label.nii.gz")
    small = nib.Nifti1Image(np.asarray(series.dataobj).astype(np.uint8), series.affine)
    nib.save(turned(small, "PIR"), tmp_path / "maps" / "series.nii.gz")
    return tmp_path / "maps"


def test_maps_of_totalsegmentator_become_attention(cohort, maps, capsys):
    attention(maps=str(maps), names="totalsegmentator", dataset_dir=str(cohort))
    printed = capsys.readouterr().out
    assert "maps of 2 of 2 cases" in printed
    assert "without a map: no organ" in printed
    for case in datalist.load(cohort):
        made, label = nib.load(cohort / "attention" / f"{case.id}.nii.gz"), nib.load(case.label)
        assert np.array_equal(nib.as_closest_canonical(made).dataobj, nib.as_closest_canonical(label).dataobj), case.id
