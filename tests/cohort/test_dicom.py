"""DICOM series: sorted by geometry, separated, and read with their geometry."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from scripts.cohort import datalist
from scripts.cohort.dicom import find_series, is_dicom
from scripts.cohort.header import read_header
from scripts.cohort.volume import read, read_stored
from scripts.errors import SemclError
from tests.faults.inputs import ct, write_dicom

PLANES = {  # direction cosines of rows and columns, and where the slices go
    "axial": ("1\\0\\0\\0\\1\\0", (0, 0, 1)),
    "axial, downwards": ("1\\0\\0\\0\\1\\0", (0, 0, -1)),
    "coronal": ("1\\0\\0\\0\\0\\-1", (0, 1, 0)),
    "sagittal": ("0\\1\\0\\0\\0\\-1", (-1, 0, 0)),
    "gantry tilt": ("1\\0\\0\\0\\0.8\\0.6", (0, 0, 1)),
}


def test_threads_that_read_first_do_not_get_a_part_of_itk():
    code = """
from concurrent.futures import ThreadPoolExecutor
from scripts.cohort.itk_alone import itk_alone
with ThreadPoolExecutor(8) as pool:
    print(sum(hasattr(itk, "GDCMImageIO") for itk in pool.map(lambda _: itk_alone(), range(8))))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["8"]


@pytest.mark.parametrize("uid", ["1.2.3", ""])
def test_slices_are_put_in_order_whatever_their_names(tmp_path, uid):
    folder = write_dicom(tmp_path / "a", ct(), tags={"0020|000e": uid})
    (series,) = find_series(folder)
    assert [item.depth for item in series.slices] == [3.0 * number for number in range(8)]
    assert [item.path.name for item in series.slices] != sorted(item.path.name for item in series.slices)
    np.testing.assert_array_equal(read_stored(folder, "a")[0].numpy(), ct())


@pytest.mark.parametrize("reverse", [False, True])
def test_a_series_lies_where_its_tags_place_it(tmp_path, reverse):
    heights = [30.0 + 3 * number for number in range(8)]
    voxels = ct()[..., ::-1] if reverse else ct()
    folder = write_dicom(tmp_path / "a", voxels, heights[::-1] if reverse else heights)
    volume = read(folder, "a")
    assert nib.aff2axcodes(volume.affine.numpy()) == ("R", "A", "S")
    corner = np.linalg.inv(volume.affine.numpy()) @ [7, -5, 30, 1]  # the first voxel's place, in RAS mm
    np.testing.assert_allclose(corner[:3], [11, 9, 0])
    assert volume[0, 11, 9, 0] == ct()[0, 0, 0]


@pytest.mark.parametrize("plane", PLANES)
def test_every_voxel_lies_where_its_slice_places_it(tmp_path, plane):
    cosines, along = PLANES[plane]
    folder = write_dicom(tmp_path / "a", ct(), cosines=cosines, along=along)
    volume = read_stored(folder, "a")
    header = read_header(folder)
    assert header.shape == tuple(volume.shape[1:])
    np.testing.assert_allclose(header.affine, volume.affine.numpy(), atol=1e-5)
    row, column = np.array([float(part) for part in cosines.split("\\")]).reshape(2, 3)
    for x, y, z in ((0, 0, 0), (3, 5, 2), (11, 9, 7)):
        place = np.array([-7, 5, 0]) + 2 * x * row + 2 * y * column + 3 * z * np.array(along)  # LPS mm
        voxel = np.linalg.inv(volume.affine.numpy()) @ [*(place * [-1, -1, 1]), 1]
        assert volume[0].numpy()[tuple(np.round(voxel[:3]).astype(int))] == ct()[x, y, z]


def test_the_largest_series_is_read(tmp_path):
    folder = write_dicom(tmp_path / "a", ct(2)[..., :3], tags={"0020|000e": "1.2.9"}, prefix="t")
    write_dicom(folder, ct())
    assert [len(series.slices) for series in find_series(folder)] == [8, 3]
    np.testing.assert_array_equal(read_stored(folder, "a")[0].numpy(), ct())


def test_slices_at_the_same_position_are_refused(tmp_path):
    folder = write_dicom(tmp_path / "a", ct())
    write_dicom(folder, ct(2), prefix="t")
    with pytest.raises(
        SemclError, match=r"(?s)case a: several slices at the same position.*8 slices at the position of another"
    ):
        read_stored(folder, "a")


def test_a_file_is_dicom_by_its_bytes_or_its_suffix(tmp_path):
    folder = write_dicom(tmp_path / "a", ct()[..., :1])
    bare = (folder / "s000.dcm").rename(folder / "IM0001")
    (folder / "b.dcm").write_bytes(b"")
    for name in ("DICOMDIR", "notes.txt", ".s.dcm"):
        (folder / name).write_bytes(bare.read_bytes() if name != "notes.txt" else b"text")
    assert {path.name for path in folder.iterdir() if is_dicom(path)} == {"IM0001", "b.dcm"}


def test_a_plain_folder_of_series_is_a_cohort_to_segment(tmp_path):
    write_dicom(tmp_path / "p1", ct()[..., :2])
    (tmp_path / "models").mkdir()
    assert [(case.id, case.image) for case in datalist.load(tmp_path)] == [("p1", tmp_path / "p1")]
