"""Rows: which organs, scans and methods have them, for any storage of the maps, and errors."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import itk
import numpy as np
import pytest

from scripts.cohort.case import Case
from scripts.cohort.label_table import LabelTable, Organ
from scripts.errors import SemclError
from scripts.evaluate.metrics import measure_organ
from scripts.evaluate.rows import BACKGROUND, Row, measure_cases, read_metrics, write_rows
from tests.conftest import write_nifti

SHAPE = (24, 24, 8)
LIVER, RIGHT, LEFT = 5, 2, 9  # indices of the table fixture
THICK = np.diag([2.0, 1.0, 5.0, 1.0])
VOLUMES = {"volume_ml", "intersection_ml", "union_ml"}
THERE = {"dice", "iou", "nsd", "hd95", "assd", "missed", *VOLUMES}
NOT_THERE = {"false_positive_ml", *VOLUMES}


def boxes(*placed: tuple[int, int]) -> np.ndarray:
    """A label map with boxes of 8 x 4 x 4 voxels: (index, first x); each index has a row of its own."""
    voxels = np.zeros(SHAPE, np.uint8)
    for index, start in placed:
        row = {LIVER: 2, RIGHT: 8, LEFT: 14}[index]
        voxels[start : start + 8, row : row + 4, 2:6] = index
    return voxels


def write_case(
    folder: Path, name: str = "one", phase: str = "portal", affine: np.ndarray | None = None, **maps: np.ndarray
) -> Case:
    """Write a label map in a folder for each keyword; ``labels`` is the ground truth."""
    for kind, voxels in maps.items():
        write_nifti(folder / kind / f"{name}.nii.gz", voxels, affine)
    label = folder / "labels" / f"{name}.nii.gz" if "labels" in maps else None
    return Case(name, f"patient of {name}", phase, folder / "nowhere.nii.gz", label)


def measured(folder: Path, cases: Case | list[Case], table: LabelTable, *methods: str, **more: float) -> list[Row]:
    """Rows of methods, each a folder."""
    listed = cases if isinstance(cases, list) else [cases]
    return measure_cases(listed, {method: folder / method for method in methods}, table, **more)


def of(rows: list[Row], organ: str, method: str = "refined", case: str = "one") -> dict[str, float]:
    """Metric -> value."""
    return {row.metric: row.value for row in rows if (row.organ, row.method, row.case) == (organ, method, case)}


def test_each_case_method_and_organ_has_the_figures_of_its_masks(tmp_path: Path, table: LabelTable) -> None:
    truth, prediction = boxes((LIVER, 4), (RIGHT, 4)), boxes((LIVER, 6), (RIGHT, 3))
    cases = [
        write_case(tmp_path, "one", affine=THICK, labels=truth, coarse=prediction, refined=truth),
        write_case(tmp_path, "two", "noncontrast", affine=THICK, labels=truth, coarse=truth, refined=prediction),
    ]
    rows = measured(tmp_path, cases, table, "coarse", "refined", tolerance=3.0)
    maps = {
        ("one", "coarse"): prediction,
        ("one", "refined"): truth,
        ("two", "coarse"): truth,
        ("two", "refined"): prediction,
    }
    diagonal = np.linalg.norm(np.multiply(SHAPE, (2, 1, 5)))
    for (case, method), voxels in maps.items():
        for organ, index in (("liver", LIVER), ("right_kidney", RIGHT), ("left_kidney", LEFT)):
            expected = measure_organ(voxels == index, truth == index, (2, 1, 5), 3.0, diagonal)
            assert of(rows, organ, method, case) == pytest.approx(expected)
    assert of(rows, "liver", "coarse", "one")["dice"] == 0.75  # 6 of 8 planes overlap
    assert {(row.case, row.patient, row.phase) for row in rows} == {
        ("one", "patient of one", "portal"),
        ("two", "patient of two", "noncontrast"),
    }
    assert set(Counter((row.case, row.method, row.organ, row.metric) for row in rows).values()) == {1}


def test_the_ground_truth_has_rows_of_volume_alone(tmp_path: Path, table: LabelTable) -> None:
    truth = boxes((LIVER, 4))
    case = write_case(tmp_path, affine=THICK, labels=truth, refined=np.zeros_like(truth))
    found = [row for row in measured(tmp_path, case, table, "refined") if row.method == "truth"]
    assert {(row.organ, row.metric): row.value for row in found} == {
        ("liver", "volume_ml"): pytest.approx(8 * 4 * 4 * 10 / 1000),
        ("right_kidney", "volume_ml"): 0,
        ("left_kidney", "volume_ml"): 0,
    }


def test_volumes_of_a_tilted_gantry_are_those_of_its_voxels(tmp_path: Path, table: LabelTable) -> None:
    truth, tilted = boxes((LIVER, 4)), THICK.copy()
    tilted[1, 2] = 3  # mm by which a slice lies further along Y than the one below it
    case = write_case(tmp_path, affine=tilted, labels=truth, refined=truth)
    found = {(row.organ, row.method, row.metric): row.value for row in measured(tmp_path, case, table, "refined")}
    for method in ("truth", "refined"):
        assert found["liver", method, "volume_ml"] == pytest.approx(8 * 4 * 4 * 10 / 1000)


@pytest.mark.parametrize("over", [0, LIVER, RIGHT, 255], ids=["nothing", "the organ", "another organ", "ignored too"])
def test_voxels_the_ground_truth_ignores_are_not_counted(tmp_path: Path, table: LabelTable, over: int) -> None:
    table = replace(table, ignore=255)
    unknown = np.zeros(SHAPE, bool)
    unknown[:, :, -2:] = True
    known, prediction = (np.where(unknown, 0, boxes(*organs)) for organs in ([(LIVER, 4), (RIGHT, 4)], [(LIVER, 6)]))
    plain = write_case(tmp_path / "plain", "one", labels=known, refined=prediction)
    ignoring = write_case(
        tmp_path / "ignoring", "one", labels=np.where(unknown, 255, known), refined=np.where(unknown, over, prediction)
    )
    rows = [
        measured(tmp_path / name, case, table, "refined") for name, case in (("plain", plain), ("ignoring", ignoring))
    ]
    assert of(rows[0], "liver")["dice"] > 0.5
    surfaces = {"nsd", "hd95", "assd"}  # test_surfaces
    of_organs, ignoring = (
        [row for row in found if row.organ != BACKGROUND and row.metric not in surfaces] for found in rows
    )
    assert of_organs == ignoring
    known = [{row.metric: row.value for row in found if row.organ == BACKGROUND} for found in rows]
    assert known[0]["union_ml"] - known[1]["union_ml"] == pytest.approx(unknown.sum() / 1000)


def test_a_missed_organ_gets_0_and_the_diagonal_of_its_scan(tmp_path: Path, table: LabelTable) -> None:
    case = write_case(tmp_path, affine=THICK, labels=boxes((LIVER, 4), (LEFT, 2)), refined=boxes((LEFT, 2)))
    diagonal = pytest.approx(((24 * 2) ** 2 + 24**2 + (8 * 5) ** 2) ** 0.5)
    found = of(measured(tmp_path, case, table, "refined"), "liver")
    worst = {"dice": 0, "iou": 0, "nsd": 0, "hd95": diagonal, "assd": diagonal, "missed": 1}
    assert found == worst | {"volume_ml": 0, "intersection_ml": 0, "union_ml": pytest.approx(1.28)}


def test_an_absent_organ_has_volumes_and_no_dice(tmp_path: Path, table: LabelTable) -> None:
    truth, more = boxes((LIVER, 4)), boxes((LIVER, 4), (LEFT, 8))
    rows = measured(
        tmp_path, write_case(tmp_path, labels=truth, coarse=more, refined=truth), table, "coarse", "refined"
    )
    assert set(of(rows, "liver")) == THERE
    volumes = dict.fromkeys(("false_positive_ml", "volume_ml", "union_ml"), 0.128)
    assert of(rows, "left_kidney", "coarse") == volumes | {"intersection_ml": 0}
    assert of(rows, "left_kidney", "refined") == dict.fromkeys(NOT_THERE, 0)
    assert set(of(rows, "right_kidney", "coarse")) == NOT_THERE


@pytest.mark.parametrize(
    ("annotated", "expected"),
    [
        pytest.param(None, {"liver", "right_kidney", "left_kidney", BACKGROUND}, id="every organ"),
        pytest.param(("left_kidney",), {"left_kidney"}, id="one"),
        pytest.param(("left_kidney", "liver"), {"liver", "left_kidney"}, id="two"),
    ],
)
def test_only_annotated_organs_have_rows(
    tmp_path: Path, table: LabelTable, annotated: tuple[str, ...] | None, expected: set[str]
) -> None:
    maps = boxes((LIVER, 4), (RIGHT, 5), (LEFT, 6))
    case = replace(write_case(tmp_path, labels=maps, refined=maps), annotated=annotated)
    rows = measured(tmp_path, case, table, "refined")
    for method in ("truth", "refined"):
        there = {row.organ for row in rows if row.method == method}
        assert there == expected - ({BACKGROUND} if method == "truth" else set())
    assert of(rows, "left_kidney")["dice"] == 1


def test_the_tolerance_of_an_organ_goes_before_that_of_evaluation(tmp_path: Path) -> None:
    table = LabelTable((Organ("liver", LIVER), Organ("right", RIGHT, tolerance=1.5)), ("portal",))
    case = write_case(tmp_path, labels=boxes((LIVER, 4), (RIGHT, 4)), refined=boxes((LIVER, 6), (RIGHT, 6)))
    rows = measured(tmp_path, case, table, "refined", tolerance=2.0)
    assert of(rows, "liver")["nsd"] == 1
    assert of(rows, "right")["nsd"] < 1


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_change_no_row_and_no_order(tmp_path: Path, table: LabelTable, workers: int) -> None:
    cases = [
        write_case(tmp_path, f"case{number}", labels=boxes((LIVER, 4)), refined=boxes((LIVER, number)))
        for number in (6, 3, 5, 4)
    ]
    rows = measured(tmp_path, cases, table, "refined", workers=workers)
    assert list(dict.fromkeys(row.case for row in rows)) == ["case6", "case3", "case5", "case4"]
    assert rows == [row for case in cases for row in measured(tmp_path, case, table, "refined")]


@pytest.mark.parametrize("methods", [("one",), ("one", "two"), ("two", "one", "three")])
def test_any_number_of_methods_is_measured(tmp_path: Path, table: LabelTable, methods: tuple[str, ...]) -> None:
    truth = boxes((LIVER, 4))
    case = write_case(tmp_path, labels=truth, one=truth, two=boxes((LIVER, 6)), three=boxes())
    rows = measured(tmp_path, case, table, *methods)
    assert list(dict.fromkeys(row.method for row in rows)) == ["truth", *methods]
    dice = {"one": 1, "two": 0.75, "three": 0}
    assert {method: of(rows, "liver", method)["dice"] for method in methods} == {name: dice[name] for name in methods}


def test_a_map_stored_in_another_orientation_is_measured_the_same(tmp_path: Path, table: LabelTable) -> None:
    truth = boxes((LIVER, 2), (RIGHT, 10))
    case = write_case(tmp_path, labels=truth)
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    turned[:2, 3] = SHAPE[0] - 1, SHAPE[1] - 1
    write_nifti(tmp_path / "refined" / "one.nii.gz", truth[::-1, ::-1].copy(), turned)
    rows = measured(tmp_path, case, table, "refined")
    assert [of(rows, organ)["dice"] for organ in ("liver", "right_kidney")] == [1.0, 1.0]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
def test_a_map_of_another_format_is_measured_the_same(tmp_path: Path, table: LabelTable, suffix: str) -> None:
    truth, prediction = boxes((LIVER, 2), (RIGHT, 10)), boxes((LIVER, 4), (RIGHT, 10))
    case = write_case(tmp_path, affine=THICK, labels=truth, refined=prediction)
    image = itk.image_from_array(np.ascontiguousarray(prediction.T))
    image.SetSpacing([2.0, 1.0, 5.0])
    image.SetDirection(itk.matrix_from_array(np.diag([-1.0, -1.0, 1.0])))  # their axes point to left and back
    (tmp_path / "other").mkdir()
    itk.imwrite(image, str(tmp_path / "other" / f"one{suffix}"))
    rows = measured(tmp_path, case, table, "refined", "other")
    for organ in table.names:
        assert of(rows, organ, "other") == of(rows, organ, "refined")


def test_the_table_of_rows_has_these_columns(tmp_path: Path) -> None:
    path = tmp_path / "made" / "rows.csv"
    rows = [Row("a,1", "ann", "liver", "portal", "coarse", "dice", 2 / 3), Row("b", "bob", "x", "y", "z", "hd95", 31.0)]
    write_rows(path, rows)
    lines = path.read_text().splitlines()
    assert lines[0] == "case,patient,organ,phase,method,metric,value"
    assert list(csv.reader(lines[1:])) == [
        ["a,1", "ann", "liver", "portal", "coarse", "dice", "0.666667"],
        ["b", "bob", "x", "y", "z", "hd95", "31.000000"],
    ]


def test_metrics_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [Row("a,1", "ann", "liver", "portal", "coarse", name, value)
            for name, value in {"dice": 0.25, "volume_ml": 12.0, "hd95": 31.5, "missed": 0.0}.items()]  # fmt: skip
    write_rows(tmp_path / "rows.csv", rows)
    assert read_metrics(tmp_path / "rows.csv") == [rows[0], rows[2]]


@pytest.mark.parametrize(
    ("method", "remedy"),
    [
        ("coarse", r"run coarse\.yaml first"),
        ("refined", r"run inference\.yaml first"),
        ("nnunet", "add it, or leave the case out"),
    ],
)
def test_a_missing_map_names_its_case_and_what_to_do(
    tmp_path: Path, table: LabelTable, method: str, remedy: str
) -> None:
    case = write_case(tmp_path, "patient7", labels=boxes((LIVER, 4)))
    with pytest.raises(
        SemclError,
        match=rf"(?s)case patient7: no label map of method {method}\n.*no patient7\.nii\.gz .* in {tmp_path}.*{remedy}",
    ):
        measured(tmp_path, case, table, method)


def test_all_missing_maps_are_named_at_once(tmp_path: Path, table: LabelTable) -> None:
    truth = boxes((LIVER, 4))
    cases = [
        write_case(tmp_path, "one", labels=truth, coarse=truth),
        write_case(tmp_path, "two", labels=truth, refined=truth),
        write_case(tmp_path, "six", labels=truth, coarse=truth, refined=truth),
    ]
    with pytest.raises(SemclError, match=r"^2 problems") as caught:
        measured(tmp_path, cases, table, "coarse", "refined")
    message = str(caught.value)
    assert "case two: no label map of method coarse" in message
    assert "case one: no label map of method refined" in message
    assert "case six" not in message


def test_two_maps_of_one_case_are_refused(tmp_path: Path, table: LabelTable) -> None:
    case = write_case(tmp_path, labels=boxes((LIVER, 4)), refined=boxes((LIVER, 4)))
    write_nifti(tmp_path / "refined" / "one.nii", boxes((LIVER, 4)))
    with pytest.raises(SemclError, match=r"(?s)case one: two files of one case.*one\.nii and one\.nii\.gz"):
        measured(tmp_path, case, table, "refined")


@pytest.mark.parametrize(
    ("voxels", "affine", "message"),
    [
        (
            boxes((LIVER, 4))[:, :, :7],
            np.eye(4),
            r"case one: true label map and label map differ in shape\n  found:    true label map 24 x 24 x 8, "
            r"one\.nii\.gz 24 x 24 x 7 voxels.*resample \S+ onto the true label map",
        ),
        (
            boxes((LIVER, 4)),
            np.eye(4) + np.outer([0, 0, 1, 0], [0, 0, 0, 3]),
            r"case one: true label map and label map differ in position\n.*up to 3 mm.*onto the true label map",
        ),
        (
            np.full(SHAPE, 7, np.uint8),
            np.eye(4),
            r"case one: label values outside the label table\n  found:    7 in \S+/refined/one\.nii\.gz\n",
        ),
        (boxes((LIVER, 4))[..., None].repeat(2, 3), np.eye(4), r"case one: a volume is not 3-D\n.*with 2 channels"),
    ],
    ids=["shape", "place", "index", "channels"],
)
def test_a_map_that_does_not_fit_the_ground_truth_is_refused(
    tmp_path: Path, table: LabelTable, voxels: np.ndarray, affine: np.ndarray, message: str
) -> None:
    case = write_case(tmp_path, labels=boxes((LIVER, 4)))
    write_nifti(tmp_path / "refined" / "one.nii.gz", voxels, affine)
    with pytest.raises(SemclError, match=f"(?s){message}"):
        measured(tmp_path, case, table, "refined")


def test_all_maps_that_do_not_fit_are_named_at_once(tmp_path: Path, table: LabelTable) -> None:
    cases = [write_case(tmp_path, name, labels=boxes((LIVER, 4))) for name in ("one", "two", "six")]
    for name, voxels in (("one", boxes((LIVER, 4))), ("two", boxes((LIVER, 4))[1:]), ("six", np.full(SHAPE, 7))):
        write_nifti(tmp_path / "refined" / f"{name}.nii.gz", voxels.astype(np.uint8))
    with pytest.raises(SemclError, match=r"^2 problems in the label maps") as caught:
        measured(tmp_path, cases, table, "refined")
    assert "case two: true label map and label map differ in shape" in str(caught.value)
    assert "case six: label values outside the label table" in str(caught.value)
    assert "case one" not in str(caught.value)


def test_a_ground_truth_with_an_index_outside_the_table_is_refused(tmp_path: Path, table: LabelTable) -> None:
    case = write_case(tmp_path, labels=np.full(SHAPE, 7, np.uint8), refined=boxes((LIVER, 4)))
    message = rf"case one: label values outside the label table\n  found: +7 in {case.label}\n"
    with pytest.raises(SemclError, match=message):
        measured(tmp_path, case, table, "refined")


def test_a_case_without_ground_truth_is_refused(tmp_path: Path, table: LabelTable) -> None:
    with pytest.raises(SemclError, match="case one: an image without a label map"):
        measured(tmp_path, write_case(tmp_path, refined=boxes((LIVER, 4))), table, "refined")
