"""Mask files of organs, matched with a label table and merged into one label map."""

from pathlib import Path

import numpy as np

from scripts.cohort.label_table import LabelTable, Organ
from scripts.intake.organ_masks import masks_of, merge
from tests.conftest import write_nifti

TABLE = LabelTable((Organ("right_kidney", 3), Organ("liver", 7)), ("portal",))


def mask(folder: Path, name: str, *values: float) -> Path:
    """A mask file of a single row of voxels."""
    return write_nifti(folder / f"{name}.nii", np.array(values, np.float32).reshape(-1, 1, 1))


def test_masks_are_matched_by_the_words_of_their_names_in_the_order_of_the_table():
    files = [("liver", Path("a")), ("kidney_right", Path("b")), ("spleen", Path("c"))]
    assert list(masks_of(files, TABLE).items()) == [("right_kidney", Path("b")), ("liver", Path("a"))]


def test_masks_are_merged_and_a_voxel_of_several_goes_to_the_later_organ(tmp_path):
    found = merge(
        {"right_kidney": mask(tmp_path, "k", 1, 1, 0, 0), "liver": mask(tmp_path, "l", 0, 255, 255, 0)}, TABLE
    )
    assert sorted(found.objects.ravel().tolist()) == [0, 1, 2, 2]
    assert (found.overlap, found.odd) == (1, {})


def test_a_mask_of_several_values_or_of_fractions_is_named_with_its_values(tmp_path):
    several, fraction = mask(tmp_path, "k", 0, 1, 2), mask(tmp_path, "l", 0, 0.5, 0.5)
    found = merge({"right_kidney": several, "liver": fraction}, TABLE)
    assert found.odd == {several: "0, 1, 2", fraction: "0, 0.5"}
