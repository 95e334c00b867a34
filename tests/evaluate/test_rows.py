"""Rows: Dice of every organ against MONAI and a loop over voxels, and what is an error."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from monai.networks.utils import one_hot

from scripts.cohort.datalist import Case
from scripts.cohort.labels import LabelTable
from scripts.errors import SemclError
from scripts.evaluate.rows import Row, dice, measure, write_rows
from tests.conftest import write_nifti

SHAPE = (24, 24, 8)
LIVER, RIGHT, LEFT = 5, 2, 9  # indices of the table fixture


def boxes(*placed: tuple[int, int]) -> np.ndarray:
    """A label map with boxes of 8 x 4 x 4 voxels: (index, first x); each index has a row of its own."""
    voxels = np.zeros(SHAPE, np.uint8)
    for index, start in placed:
        row = {LIVER: 2, RIGHT: 8, LEFT: 14}[index]
        voxels[start : start + 8, row : row + 4, 2:6] = index
    return voxels


def write_case(folder: Path, name: str, patient: str, phase: str = "portal", **maps: np.ndarray) -> Case:
    """Write a scan and a label map in a folder for each keyword; ``labels`` is the truth."""
    noise = np.random.default_rng(0).normal(0, 50, SHAPE).astype(np.float32)
    image = write_nifti(folder / "images" / f"{name}.nii.gz", noise)
    for kind, voxels in maps.items():
        write_nifti(folder / kind / f"{name}.nii.gz", voxels)
    return Case(name, patient, phase, image, folder / "labels" / f"{name}.nii.gz" if "labels" in maps else None)


def random_maps(seed: int, objects: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Two maps of object numbers; 4 is missed, 5 is in neither, 3 is only drawn."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, objects, (7, 6, 5)).astype(np.uint16)
    drawn = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, objects, truth.shape)).astype(np.uint16)
    truth[truth == 3] = 0
    drawn[drawn == 4] = 0
    return drawn, truth


@pytest.mark.parametrize("seed", range(4))
def test_dice_is_that_of_monai(seed: int) -> None:
    drawn, truth = random_maps(seed)
    hot = [one_hot(torch.tensor(part.astype(np.int64))[None, None], num_classes=6) for part in (drawn, truth)]
    expected = compute_dice(*hot, include_background=False, ignore_empty=False)[0].numpy()
    np.testing.assert_allclose(dice(drawn, truth, 5)[:4], expected[:4], rtol=1e-6)
    strict = compute_dice(*hot, include_background=False, ignore_empty=True)[0].numpy()
    assert np.isnan(strict[4])
    assert np.isnan(dice(drawn, truth, 5)[4])


@pytest.mark.parametrize("seed", range(4))
def test_dice_is_that_of_a_loop_over_voxels(seed: int) -> None:
    drawn, truth = random_maps(seed)
    found = dice(drawn, truth, 5)
    for number in range(1, 5):
        both = either = 0
        for a, b in zip(drawn.ravel().tolist(), truth.ravel().tolist(), strict=True):
            both += a == number and b == number
            either += (a == number) + (b == number)
        assert found[number - 1] == pytest.approx(2 * both / either, abs=1e-12)


@pytest.mark.parametrize(
    ("drawn", "truth", "expected"),
    [
        pytest.param([1, 1, 0, 0], [1, 1, 0, 0], 1.0, id="the same"),
        pytest.param([1, 1, 1, 0], [0, 1, 1, 1], 2 / 3, id="two of three voxels"),
        pytest.param([0, 0, 0, 0], [1, 1, 0, 0], 0.0, id="missed"),
        pytest.param([1, 0, 0, 0], [0, 0, 0, 0], 0.0, id="drawn where there is none"),
        pytest.param([2, 2, 0, 0], [1, 1, 0, 0], 0.0, id="drawn as another"),
        pytest.param([0, 2, 0, 0], [0, 2, 0, 0], np.nan, id="in neither"),
    ],
)
def test_dice_worked_by_hand(drawn: list[int], truth: list[int], expected: float) -> None:
    found = dice(np.array(drawn).reshape(2, 2, 1), np.array(truth).reshape(2, 2, 1), 2)
    np.testing.assert_allclose(found[0], expected)


def test_a_row_a_case_organ_and_method(tmp_path: Path, table: LabelTable) -> None:
    truth = boxes((LIVER, 4), (RIGHT, 4))
    cases = [
        write_case(tmp_path, "one", "ann", labels=truth, coarse=boxes((LIVER, 6), (RIGHT, 4)), refined=truth),
        write_case(tmp_path, "two", "bob", "noncontrast", labels=truth, coarse=boxes((LIVER, 4)), refined=truth),
    ]
    rows = measure(cases, {method: tmp_path / method for method in ("coarse", "refined")}, table)
    assert sorted(rows, key=lambda row: (row.case, row.method, row.organ)) == [
        Row("one", "ann", "liver", "portal", "coarse", "dice", 0.75),  # 6 of 8 planes overlap
        Row("one", "ann", "right_kidney", "portal", "coarse", "dice", 1.0),
        Row("one", "ann", "liver", "portal", "refined", "dice", 1.0),
        Row("one", "ann", "right_kidney", "portal", "refined", "dice", 1.0),
        Row("two", "bob", "liver", "noncontrast", "coarse", "dice", 1.0),
        Row("two", "bob", "right_kidney", "noncontrast", "coarse", "dice", 0.0),
        Row("two", "bob", "liver", "noncontrast", "refined", "dice", 1.0),
        Row("two", "bob", "right_kidney", "noncontrast", "refined", "dice", 1.0),
    ]


def test_an_organ_in_neither_map_has_no_row(tmp_path: Path, table: LabelTable) -> None:
    case = write_case(tmp_path, "one", "ann", labels=boxes((LIVER, 4)), refined=boxes((LIVER, 4)))
    assert [row.organ for row in measure([case], {"refined": tmp_path / "refined"}, table)] == ["liver"]


def test_an_organ_that_is_not_there_counts_0_for_who_draws_it_and_1_for_who_does_not(
    tmp_path: Path, table: LabelTable
) -> None:
    truth, more = boxes((LIVER, 4)), boxes((LIVER, 4), (LEFT, 8))
    case = write_case(tmp_path, "a", "ann", labels=truth, coarse=more, refined=truth)
    rows = measure([case], {name: tmp_path / name for name in ("coarse", "refined")}, table)
    found = {(row.organ, row.method): row.value for row in rows}
    assert found == {
        ("liver", "coarse"): 1,
        ("liver", "refined"): 1,
        ("left_kidney", "coarse"): 0,
        ("left_kidney", "refined"): 1,
    }


def test_a_map_stored_in_another_orientation_is_measured_the_same(tmp_path: Path, table: LabelTable) -> None:
    truth = boxes((LIVER, 2), (RIGHT, 10))
    case = write_case(tmp_path, "one", "ann", labels=truth)
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    turned[:2, 3] = SHAPE[0] - 1, SHAPE[1] - 1
    write_nifti(tmp_path / "refined" / "one.nii.gz", truth[::-1, ::-1].copy(), turned)
    values = [row.value for row in measure([case], {"refined": tmp_path / "refined"}, table)]
    assert values == [1.0, 1.0]


def test_the_table_of_rows_has_these_columns(tmp_path: Path) -> None:
    path = tmp_path / "made" / "rows.csv"
    rows = [Row("a,1", "ann", "liver", "portal", "coarse", "dice", 2 / 3), Row("b", "bob", "x", "y", "z", "dice", 1.0)]
    write_rows(path, rows)
    lines = path.read_text().splitlines()
    assert lines[0] == "case,patient,organ,phase,method,metric,value"
    assert list(csv.reader(lines[1:])) == [
        ["a,1", "ann", "liver", "portal", "coarse", "dice", "0.666667"],
        ["b", "bob", "x", "y", "z", "dice", "1.000000"],
    ]


@pytest.mark.parametrize(("method", "stage"), [("coarse", "coarse.yaml"), ("refined", "inference.yaml")])
def test_a_missing_map_names_its_case_and_the_stage_to_run(
    tmp_path: Path, table: LabelTable, method: str, stage: str
) -> None:
    case = write_case(tmp_path, "patient7", "ann", labels=boxes((LIVER, 4)))
    with pytest.raises(SemclError, match=rf"(?s)case patient7: no label map of method {method}.*run {stage} first"):
        measure([case], {method: tmp_path / method}, table)


def test_all_missing_maps_are_named_at_once(tmp_path: Path, table: LabelTable) -> None:
    truth = boxes((LIVER, 4))
    cases = [
        write_case(tmp_path, "one", "ann", labels=truth, coarse=truth),
        write_case(tmp_path, "two", "bob", labels=truth, refined=truth),
        write_case(tmp_path, "six", "cid", labels=truth, coarse=truth, refined=truth),
    ]
    with pytest.raises(SemclError, match=r"^2 problems") as caught:
        measure(cases, {method: tmp_path / method for method in ("coarse", "refined")}, table)
    message = str(caught.value)
    assert "case two: no label map of method coarse" in message
    assert "case one: no label map of method refined" in message
    assert "case six" not in message


def test_a_map_of_another_shape_is_refused(tmp_path: Path, table: LabelTable) -> None:
    truth = boxes((LIVER, 4))
    case = write_case(tmp_path, "one", "ann", labels=truth, refined=truth[:, :, :7])
    with pytest.raises(SemclError, match=r"(?s)case one: .*differ in shape.*24 x 24 x 8.*24 x 24 x 7"):
        measure([case], {"refined": tmp_path / "refined"}, table)


def test_a_map_at_another_place_is_refused(tmp_path: Path, table: LabelTable) -> None:
    case = write_case(tmp_path, "one", "ann", labels=boxes((LIVER, 4)))
    moved = np.eye(4)
    moved[2, 3] = 3
    write_nifti(tmp_path / "refined" / "one.nii.gz", boxes((LIVER, 4)), moved)
    with pytest.raises(SemclError, match=r"(?s)case one: .*differ in place.*up to 3 mm"):
        measure([case], {"refined": tmp_path / "refined"}, table)


def test_a_map_with_an_unknown_index_is_refused(tmp_path: Path, table: LabelTable) -> None:
    strange = np.full(SHAPE, 7, np.uint8)
    case = write_case(tmp_path, "one", "ann", labels=boxes((LIVER, 4)), refined=strange)
    with pytest.raises(SemclError, match=r"(?s)case one: label values outside the label table.*found: +7\n"):
        measure([case], {"refined": tmp_path / "refined"}, table)


def test_a_case_without_truth_is_refused(tmp_path: Path, table: LabelTable) -> None:
    case = write_case(tmp_path, "one", "ann", refined=boxes((LIVER, 4)))
    with pytest.raises(SemclError, match="case one: an image without a label map"):
        measure([case], {"refined": tmp_path / "refined"}, table)
