"""NRRD and MetaImage headers that name other files."""

import zlib

import pytest

from scripts.cohort.detached_headers import data_files, require_beside, require_inflated
from scripts.cohort.volume_errors import VolumeError

META = "ObjectType = Image\nNDims = 3\n{}ElementDataFile = {}\n"


@pytest.mark.parametrize(
    ("name", "text", "files"),
    [
        ("a.nrrd", "NRRD0005\ntype: short\n\ndata file: not a header", []),
        ("a.nrrd", "NRRD0005\ndata file: a.raw\n\n", ["a.raw"]),
        ("a.nrrd", "NRRD0005\ndatafile: LIST\na.raw\nb.raw\n\n", ["a.raw", "b.raw"]),
        ("a.mha", META.format("", "LOCAL"), []),
        ("a.mhd", META.format("", "a.raw"), ["a.raw"]),
        ("a.mhd", META.format("", "a%03d.raw 1 9 1"), ["a%03d.raw"]),
    ],
)
def test_files_with_voxels_are_found(name, text, files, tmp_path):
    (tmp_path / name).write_text(text)
    assert data_files(tmp_path / name) == files


def test_voxels_in_another_folder_are_refused(tmp_path):
    (tmp_path / "a.mhd").write_text(META.format("", "../a.raw"))
    with pytest.raises(VolumeError) as raised:
        require_beside(tmp_path / "a.mhd")
    assert raised.value.kind == "data_elsewhere"


@pytest.mark.parametrize("change", [None, lambda data: data[:-5], lambda data: data[:20] + b"?" + data[21:]])
def test_damaged_compression_is_refused(change, tmp_path):
    data = zlib.compress(bytes(range(256)) * 40)
    head = META.format("CompressedData = True\n", "LOCAL").encode()
    (tmp_path / "a.mha").write_bytes(head + (change(data) if change else data))
    if change is None:
        require_inflated(tmp_path / "a.mha")
        return
    with pytest.raises(VolumeError) as raised:
        require_inflated(tmp_path / "a.mha")
    assert raised.value.kind == "damaged_gzip"
