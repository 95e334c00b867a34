"""Dice of the validation cases."""

import numpy as np
import pytest

from scripts.auto3dseg.score import validation_dice
from scripts.cohort.case import Case
from scripts.errors import SemclError
from tests.conftest import write_nifti


def cases(folder, truths):
    """Cases with label maps: rows of label numbers by name."""
    made = []
    for name, row in truths.items():
        label = np.array(row, np.uint8).reshape(-1, 1, 1)
        image = write_nifti(folder / "images" / f"{name}.nii.gz", np.zeros(label.shape, np.float32))
        made.append(Case(name, name, "portal", image, write_nifti(folder / "labels" / f"{name}.nii.gz", label)))
    return made


def test_means_are_over_the_cases_that_have_the_organ(tmp_path, table):
    truths = {"one": [5, 5, 2, 0], "two": [5, 0, 0, 0]}
    predicted = {"one": [5, 0, 0, 9], "two": [5, 5, 0, 0]}
    cohort = cases(tmp_path, truths)
    for case in cohort:
        voxels = np.array(predicted[case.id], np.uint8).reshape(-1, 1, 1)
        write_nifti(tmp_path / "predictions" / f"{case.id}.nii.gz", voxels)
    found = validation_dice(cohort, table, tmp_path / "predictions")
    assert found == {"liver": pytest.approx(2 / 3), "right_kidney": 0}  # missed is 0, absent is not counted


def test_cases_without_organs_give_no_score(tmp_path, table):
    cohort = cases(tmp_path, {"one": [0, 0]})
    write_nifti(tmp_path / "predictions" / "one.nii.gz", np.zeros((2, 1, 1), np.uint8))
    with pytest.raises(SemclError, match="no validation case has an organ\n  found:    one without any of liver"):
        validation_dice(cohort, table, tmp_path / "predictions")
