"""Coarse maps that another tool gives: which organs, which file, and when the tool is called."""

import os
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from scripts.cohort.case import Case
from scripts.cohort.volume import read
from scripts.errors import SemclError
from scripts.intake.given_maps import ToolMaps, given_objects, needs_coarse, organ_numbers, organs_left, put_over
from tests.conftest import write_nifti

SHAPE = (12, 10, 8)
AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.fixture
def case(tmp_path):
    return Case(
        "a", "a", "portal", write_nifti(tmp_path / "scans" / "a.nii.gz", np.zeros(SHAPE, np.int16), AFFINE), None, 0
    )


@pytest.fixture
def maps(tmp_path):
    """A folder with the tool's map of case a: a liver, as number 7."""
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[2:9, 2:8, 1:7] = 7
    write_nifti(tmp_path / "maps" / "a.nii.gz", voxels, AFFINE)
    (tmp_path / "names.yaml").write_text(yaml.safe_dump({7: "Liver", 8: "heart"}))
    return {"maps": str(tmp_path / "maps"), "names": str(tmp_path / "names.yaml")}


def test_organs_are_those_of_the_numbers_or_of_masks(case, maps, table, tmp_path):
    given = ToolMaps(**maps, table=table, command=None, made="")
    assert given.organs([case]) == ["liver"]
    assert organs_left(given, lambda: [case], table) == ["right_kidney", "left_kidney"]
    assert given.sources("a") == [tmp_path / "maps" / "a.nii.gz"]
    assert given.sources("b") == []
    write_nifti(tmp_path / "masks" / "a" / "kidney_left.nii.gz", np.ones(SHAPE, np.uint8), AFFINE)
    masks = ToolMaps(str(tmp_path / "masks"), maps["names"], table, None, "")
    assert masks.organs([case]) == ["left_kidney"]
    assert masks.sources("a") == [tmp_path / "masks" / "a" / "kidney_left.nii.gz"]


def test_without_such_maps_all_organs_are_the_coarse_networks(case, table):
    none = ToolMaps(None, "", table, None, "")
    assert organs_left(none, lambda: [case], table) is None
    assert organ_numbers(None, table) is None
    assert given_objects(none, read(case.image, "a"), case.image) is None


def test_the_coarse_network_segments_what_has_no_map_and_adds_what_maps_lack(maps, table, tmp_path):
    tool, none, folder = ToolMaps(**maps, table=table, command=None, made=""), None, tmp_path / "attention"
    write_nifti(folder / "b.nii.gz", np.zeros(SHAPE, np.uint8))
    assert [needs_coarse("a", str(folder), one, False) for one in (tool, none)] == [False, True]
    assert [needs_coarse("a", str(folder), one, True) for one in (tool, none)] == [True, True]
    assert [needs_coarse("b", str(folder), one, True) for one in (tool, none)] == [False, False]


def test_maps_that_have_every_organ_leave_nothing_to_train(case, maps, table, tmp_path):
    (tmp_path / "names.yaml").write_text(yaml.safe_dump(dict(enumerate(table.names, 1))))
    with pytest.raises(SemclError, match=r"(?s)no organ is left.*python -m scripts attention"):
        organs_left(ToolMaps(**maps, table=table, command=None, made=""), lambda: [case], table)


def test_organ_numbers_are_in_the_tables_order(table):
    assert organ_numbers(["left_kidney", "liver"], table) == [1, 3]
    with pytest.raises(SemclError, match=r"(?s)label table has not.*lever"):
        organ_numbers(["lever"], table)


def test_given_objects_lie_over_the_others():
    objects, given = torch.tensor([0, 2, 2, 3]), torch.tensor([0, 0, 1, 1], dtype=torch.int16)
    assert put_over(objects, given).tolist() == [0, 2, 1, 1]
    assert put_over(objects, None) is objects


def test_a_case_without_a_map_is_named(case, maps, table, tmp_path):
    given = ToolMaps(**maps, table=table, command=None, made="")
    assert set(np.unique(given_objects(given, read(case.image, "a"), case.image))) == {0, 1}
    with pytest.raises(SemclError, match=r"(?s)case b: a scan has no map of another tool.*coarse_command"):
        given_objects(given, read(case.image, "b"), case.image)


def test_findings_that_are_errors_fail_the_case_unless_allowed(case, maps, table, tmp_path):
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[8:11, 2:5, 2:5], voxels[1:4, 2:5, 2:5] = 3, 2  # TotalSegmentator's left kidney is 3; large x is the right
    write_nifti(tmp_path / "maps" / "a.nii.gz", voxels, AFFINE)
    strict = ToolMaps(maps["maps"], "totalsegmentator", table, None, "")
    image = read(case.image, "a")
    found = strict.organs([case])
    assert set(found) == set(table.names)
    wrong = nib.load(tmp_path / "maps" / "a.nii.gz")
    assert wrong.shape == SHAPE
    with pytest.raises(SemclError, match="case a: "):
        strict.objects(image, case.image)
    lenient = ToolMaps(maps["maps"], "totalsegmentator", table, None, "", ["sides_swapped"])
    assert set(np.unique(lenient.objects(image, case.image))) == {0, 2, 3}


def test_the_command_is_called_once_for_a_case_without_a_map_and_again_for_a_newer_scan(case, maps, table, tmp_path):
    count = tmp_path / "count"
    tool = tmp_path / "tool.py"
    tool.write_text(f"import shutil, sys\nopen({str(count)!r}, 'a').write('x')\n"
                    f"shutil.copy({str(tmp_path / 'maps' / 'a.nii.gz')!r}, sys.argv[2])\n")  # fmt: skip
    command, made = f"'{sys.executable}' '{tool}' {{image}} {{out}}", tmp_path / "made"
    given = ToolMaps(None, maps["names"], table, command, str(made))
    given.claim([case])
    image = read(case.image, "a")
    for _ in range(2):
        assert set(np.unique(given.objects(image, case.image))) == {0, 1}
    assert count.read_text() == "x"
    later = (made / "a.nii.gz").stat().st_mtime + 5
    os.utime(case.image, (later, later))
    given.objects(image, case.image)
    assert count.read_text() == "xx"
    both = ToolMaps(**maps, table=table, command=command, made=str(tmp_path / "other"))
    both.objects(image, case.image)
    assert count.read_text() == "xx"  # a given map needs no call


def test_what_is_not_there_is_named(table, tmp_path):
    with pytest.raises(SemclError, match=r"no folder /no/maps"):
        ToolMaps("/no/maps", "totalsegmentator", table, None, "")
    with pytest.raises(SemclError, match=r"no no-such-tool on the PATH"):
        ToolMaps(None, "totalsegmentator", table, "no-such-tool -i {image} -o {out}", "")
