"""Headers that name the files of their voxels."""

import pytest

from scripts.voxel_files import data_files, voxel_files

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


def test_only_headers_name_other_files(tmp_path):
    for name in ("a.mhd", "a.txt"):
        (tmp_path / name).write_text(META.format("", "a.raw"))
    assert voxel_files(tmp_path / "a.mhd") == [tmp_path / "a.raw"]
    assert voxel_files(tmp_path / "a.txt") == voxel_files(tmp_path / "none.mhd") == []
