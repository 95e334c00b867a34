"""What all layouts share: label maps are refused where they have their own."""

import pytest

from scripts.errors import SemclError
from scripts.intake.layouts import find_layout
from tests.conftest import write_nifti
from tests.faults.inputs import Folder, ct


@pytest.mark.parametrize("images", ["", "scans.csv"])
def test_label_maps_beside_those_of_the_layout_are_refused(images, tmp_path):
    write_nifti(tmp_path / "s1/ct.nii.gz", ct())
    Folder(tmp_path).sheet("case,image,patient\ns1,s1/ct.nii.gz,p\n", "scans.csv")
    match = rf"(?s)a layout that has its own.*--labels {tmp_path}/labels.*label maps in .*column label of a CSV"
    with pytest.raises(SemclError, match=match):
        find_layout(tmp_path / images, tmp_path / "labels")
