"""Which files are volumes, and their case ids."""

from pathlib import Path

import numpy as np
import pytest

from scripts.cohort.volume_files import case_id, volumes
from scripts.errors import SemclError
from tests.conftest import write_nifti


def scan(path, shape=(2, 3, 4)):
    return write_nifti(path, np.zeros(shape, np.int16))


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("a.nii", "a"),
        ("a.nii.gz", "a"),
        ("a.b.nii.gz", "a.b"),
        ("a.nrrd", "a"),
        ("a.mha", "a"),
        ("a.mhd", "a"),
        ("a.raw", None),
        ("a.csv", None),
        ("nii.gz", None),
        (".12.a.nii.gz", None),
    ],
)
def test_the_case_id_is_the_file_name_without_the_suffix(name, case):
    assert case_id(Path("folder.nii") / name) == case


def test_two_files_of_one_case_are_named(tmp_path):
    scan(tmp_path / "a.nii")
    scan(tmp_path / "a.nii.gz")
    match = r"(?s)case a: two files of one case.*a\.nii and a\.nii\.gz.*one volume per case.*remove one"
    with pytest.raises(SemclError, match=match):
        volumes(tmp_path)
