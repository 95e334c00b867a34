"""NRRD and MetaImage headers that name other files."""

import zlib

import pytest

from scripts.cohort.detached_headers import require_beside, require_inflated
from scripts.cohort.volume_errors import VolumeError

META = "ObjectType = Image\nNDims = 3\n{}ElementDataFile = {}\n"


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
