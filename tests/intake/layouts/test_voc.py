"""PASCAL VOC's layout: its cases, and missing files."""

import pytest
import yaml

from scripts.cohort.label_table import LabelTable
from scripts.errors import SemclError
from scripts.intake.layouts import find_layout, voc
from tests.natural import write_voc
from tests.stages import ROOT


@pytest.fixture
def root(tmp_path):
    return write_voc(tmp_path / "VOC2012", training=5, testing=2)


def test_listed_pictures_are_trained_on_in_folds_or_tested(root):
    scans, findings = find_layout(root, None)[1]
    assert findings == []
    assert [scan.row.fold for scan in scans] == ["0", "1", "2", "0", "1", "test", "test"]
    assert [scan.case for scan in scans if scan.label is None] == ["2026_000002"]
    assert all(scan.image.is_file() and scan.row.patient == scan.case for scan in scans)


def test_other_masks_than_those_of_voc_are_refused(root):
    with pytest.raises(SemclError, match=r"(?s)a layout that has its own.*label maps in SegmentationClass/"):
        find_layout(root, root / voc.MASKS)


def test_another_folder_does_not_have_the_layout_of_voc(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    assert voc.find(tmp_path, None) is None


@pytest.mark.parametrize("name", ["train", "val"])
def test_a_missing_list_is_named(root, name):
    (root / "ImageSets" / "Segmentation" / f"{name}.txt").unlink()
    with pytest.raises(SemclError, match=rf"(?s)list of pictures is missing.*{name}\.txt.*--labels"):
        voc.find(root, None)


def test_a_listed_picture_that_is_missing_is_named(root):
    (root / "JPEGImages" / "2026_000003.jpg").unlink()
    with pytest.raises(SemclError, match=r"(?s)case 2026_000003: a listed picture is missing"):
        voc.find(root, None)


def test_the_table_of_voc_has_twenty_classes_and_ignores_borders():
    table = LabelTable.parse(yaml.safe_load((ROOT / "scripts" / "intake" / "layouts" / "voc.yaml").read_text()))
    assert [organ.index for organ in table.organs] == list(range(1, 21))
    assert (table.ignore, table.phases, table.flip_axes) == (255, ("picture",), [0])
