"""Mask files of organs, matched with a label table and merged into one label map."""

from pathlib import Path

import numpy as np
import pytest

from scripts.cohort.label_table import LabelTable, Organ
from scripts.errors import SemclError
from scripts.intake.organ_masks import masks_of, merge, words
from tests.conftest import write_nifti

TABLE = LabelTable((Organ("right_kidney", 3), Organ("liver", 7)), ("portal",))


def mask(folder: Path, name: str, *values: float) -> Path:
    """A mask file of a single row of voxels."""
    return write_nifti(folder / f"{name}.nii", np.array(values, np.float32).reshape(-1, 1, 1))


def test_masks_are_matched_by_the_words_of_their_names_in_the_order_of_the_table():
    files = [("liver", Path("a")), ("kidney_right", Path("b")), ("spleen", Path("c"))]
    assert list(masks_of(files, TABLE).items()) == [("right_kidney", Path("b")), ("liver", Path("a"))]


def test_names_in_any_script_are_told_apart():
    names = ("\u809d\u810f", "\u813e\u810f", "\u043f\u043e\u0447\u043a\u0430")
    table = LabelTable(tuple(Organ(name, number) for number, name in enumerate(names, 1)), ("portal",))
    files = [(name, Path(name)) for name in reversed(table.names)]
    assert list(masks_of(files, table).items()) == [(name, Path(name)) for name in table.names]
    assert words("Rein_2") == {"rein", "2"}
    assert words("???") == {"???"}


def test_two_files_of_one_organ_are_refused():
    files = [("kidney_right", Path("b")), ("right_kidney", Path("c"))]
    others = [("lesion_1", Path("x")), ("1_lesion", Path("y")), ("kidney_right_2", Path("z"))]  # of no organ
    assert masks_of([*others, files[0]], TABLE) == {"right_kidney": Path("b")}
    with pytest.raises(SemclError, match=r"(?s)two names of organs have the same words.*b and c.*rename or remove one"):
        masks_of(files, TABLE)


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
