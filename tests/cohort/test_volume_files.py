"""Which files are volumes, and their case ids."""

from pathlib import Path

import numpy as np
import pytest

from scripts.cohort.datalist import load
from scripts.cohort.volume_files import case_id, overlooked, volumes
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


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["a.nii.gz", "notes.txt", "preview.png", "preview.JPG", "._b.NII"], []),
        (["a.nii.gz", "b.NII.GZ", "c.Nii"], ["b.NII.GZ", "c.Nii"]),
        (["a.png", "b.PNG"], ["b.PNG"]),
    ],
)
def test_volumes_that_would_be_overlooked_are_found(tmp_path, names, left):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.nii").mkdir()
    assert [path.name for path in overlooked(tmp_path)] == left


def test_a_link_to_nothing_is_overlooked(tmp_path):
    scan(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "a.nii.gz")
    (tmp_path / "c.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    assert overlooked(tmp_path) == [tmp_path / "c.nii.gz"]


def test_a_folder_with_overlooked_volumes_is_refused(tmp_path):
    scan(tmp_path / "a.nii.gz")
    (tmp_path / "b.NII.GZ").write_bytes(b"")
    (tmp_path / "c.NII.GZ").write_bytes(b"")
    match = rf"(?s)cannot be read as such\n.*b\.NII\.GZ and 1 more in {tmp_path}.*in lower case.*rename or restore"
    with pytest.raises(SemclError, match=match):
        load(tmp_path)
