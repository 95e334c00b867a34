"""Files: complete or absent, and volumes that are read back unchanged."""

import ast
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from scripts.files import checksum, checksum_of, write_text, write_volume, written_whole
from scripts.plain import PlainLoader

PACKAGE = Path(__file__).parents[1] / "scripts"

ANGLE = np.deg2rad(20)
OBLIQUE = np.array(
    [
        [-2.0, 0, 0, 30],
        [0, 3 * np.cos(ANGLE), -5 * np.sin(ANGLE), -40],
        [0, 3 * np.sin(ANGLE), 5 * np.cos(ANGLE), 12.5],
        [0, 0, 0, 1],
    ]
)


def voxels(dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (5, 4, 3)).astype(dtype)


def fail_while_writing(path: Path) -> None:
    with written_whole(path) as aside:
        aside.write_text("half a")
        raise OSError("disk full")


def test_a_text_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "note.txt"
    write_text(path, "whole\n")
    assert path.read_text() == "whole\n"
    assert os.listdir(path.parent) == ["note.txt"]


def test_a_later_text_replaces_the_first(tmp_path: Path) -> None:
    for text in ("a long first text", "second"):
        write_text(tmp_path / "note.txt", text)
    assert (tmp_path / "note.txt").read_text() == "second"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_a_writer_that_raises_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        fail_while_writing(tmp_path / "note.txt")
    assert os.listdir(tmp_path) == []


def test_a_writer_that_raises_before_it_writes_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to write"), written_whole(tmp_path / "note.txt"):
        raise ValueError("nothing to write")
    assert os.listdir(tmp_path) == []


def test_a_writer_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "old")
    with pytest.raises(OSError, match="disk full"):
        fail_while_writing(tmp_path / "note.txt")
    assert (tmp_path / "note.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with written_whole(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["map.nii.gz", "map.nii", "encoder.pt"])
def test_the_temporary_file_keeps_folder_and_suffix(tmp_path: Path, name: str) -> None:
    with written_whole(tmp_path / name) as aside:
        assert aside.parent == tmp_path
        assert aside.name != name
        assert aside.name.endswith(name)
        assert aside.name.startswith(".")
        aside.touch()


@pytest.mark.parametrize("name", ["map.nii.gz", "map.nii"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("affine", [np.diag([0.7, 0.7, 2.5, 1]), OBLIQUE], ids=["straight", "oblique"])
def test_voxels_and_affine_are_read_back(tmp_path: Path, name: str, dtype: type, affine: np.ndarray) -> None:
    write_volume(tmp_path / name, voxels(dtype), affine)
    read = nib.load(tmp_path / name)
    assert read.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(read.dataobj), voxels(dtype))
    np.testing.assert_allclose(read.affine, affine, atol=1e-5)


def test_qform_and_sform_agree_in_mm(tmp_path: Path) -> None:
    write_volume(tmp_path / "map.nii.gz", voxels(), OBLIQUE)
    read = nib.load(tmp_path / "map.nii.gz")
    for form, code in (read.get_qform(coded=True), read.get_sform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(form, OBLIQUE, atol=1e-4)
    assert read.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(read.header.get_zooms(), [2, 3, 5], rtol=1e-6)


def test_the_same_volume_is_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("first.nii.gz", "second.nii.gz"):
        write_volume(tmp_path / name, voxels(), OBLIQUE)
    first, second = ((tmp_path / name).read_bytes() for name in ("first.nii.gz", "second.nii.gz"))
    assert first == second
    assert first[:2] == b"\x1f\x8b"
    assert first[3] == 0  # gzip's flags: neither file name nor comment
    assert first[4:8] == bytes(4)  # its time


def test_a_volume_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Cannot work out file type"):
        write_volume(tmp_path / "map.xyz", voxels(), OBLIQUE)
    assert os.listdir(tmp_path) == []


def test_a_checksum_is_that_of_the_whole_content(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes((1 << 20) * 2 + 17)
    (tmp_path / "a").write_bytes(content)
    assert checksum(tmp_path / "a") == zlib.crc32(content)
    (tmp_path / "a").write_bytes(content[:-1] + b"x")
    assert checksum(tmp_path / "a") != zlib.crc32(content)


# what is read cannot execute code


def calls(module: str) -> Iterator[tuple[str, ast.Call]]:
    """Where in the package something is called by module.name, and the call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.value
            if isinstance(named, ast.Name) and named.id == module:
                yield f"{path.name}:{node.lineno}", node


def test_torch_loads_weights_only() -> None:
    found = [(where, call) for where, call in calls("torch") if call.func.attr == "load"]
    assert found
    for where, call in found:
        message = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert message.get("weights_only") == "True", where


def test_yaml_is_read_safely() -> None:
    safe = {"safe_load", "safe_dump"}
    found = dict(calls("yaml"))
    assert "safe_load" in {call.func.attr for call in found.values()}
    others = [ast.unparse(call) for call in found.values() if call.func.attr not in safe]
    assert sorted(others) == ["yaml.load(text, PlainLoader)", "yaml.parse(text, yaml.SafeLoader)"]
    assert issubclass(PlainLoader, yaml.SafeLoader)


def test_nothing_is_unpickled_and_numpy_takes_no_pickles() -> None:
    imported = [
        alias.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in [*node.names, ast.alias(getattr(node, "module", None) or "")]
    ]
    assert {"pickle", "cloudpickle", "dill", "shelve", "marshal"} & set(imported) == set()
    assert [where for where, call in calls("np") if "allow_pickle" in {word.arg for word in call.keywords}] == []


def test_a_file_that_is_not_there_has_no_checksum(tmp_path: Path) -> None:
    assert checksum_of(tmp_path / "encoder.pt") is checksum_of(None) is None
    (tmp_path / "encoder.pt").write_bytes(b"x")
    assert checksum_of(str(tmp_path / "encoder.pt")) == checksum(tmp_path / "encoder.pt")
