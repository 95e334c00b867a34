"""Pictures of the worst cases: which cases, and their panels."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.cohort.case import Case
from scripts.errors import SemclError
from scripts.evaluate import worst_cases as module
from scripts.evaluate.summary import Summary
from scripts.evaluate.worst_cases import case_picture, worst_cases
from tests.conftest import write_nifti
from tests.evaluate.made import TABLE, label_map, rows_of, write_case

CASES = [Case(f"scan{number}", f"patient{number}", "portal", Path("nowhere")) for number in range(4)]


def summary(*main: float) -> Summary:
    """Two organs of each scan; the second method's mean Dice as given, the others' the other way round."""
    methods = ("coarse", "refined", "atlas")
    rows = rows_of("liver", [(1 - value, value - 0.1, 1 - value) for value in main], methods)
    rows += rows_of("spleen", [(1 - value, value + 0.1, 1 - value) for value in main], methods)
    rows += rows_of("liver", [(0, -9 * value, 0) for value in main], methods, metric="hd95")
    return Summary(rows, methods, ("liver", "spleen"), ("portal",))


@pytest.mark.parametrize(
    ("main", "count", "expected"),
    [
        pytest.param((0.5, 0.2, 0.8, 0.3), 4, ["scan1", "scan3", "scan0", "scan2"], id="all of them, worst first"),
        pytest.param((0.5, 0.2, 0.8, 0.3), 2, ["scan1", "scan3"], id="two"),
        pytest.param((0.5, 0.5, 0.2, 0.5), 9, ["scan2", "scan0", "scan1", "scan3"], id="ties as listed"),
        pytest.param((0.5, 0.2), 4, ["scan1", "scan0"], id="those without Dice are left out"),
        pytest.param((0.5, 0.2), 0, [], id="none"),
    ],
)
def test_the_worst_cases_of_the_second_method_come_first(
    main: tuple[float, ...], count: int, expected: list[str]
) -> None:
    found = worst_cases(summary(*main), CASES, count)
    assert [case.id for case, _ in found] == expected
    assert [value for _, value in found] == pytest.approx([main[int(case.id[-1])] for case, _ in found])


@pytest.fixture
def case(tmp_path: Path) -> Case:
    maps = {"labels": label_map(), "coarse": label_map(2), "mine": label_map(4)}
    return write_case(tmp_path, "<b>one & co", "ann", "portal", **maps)


def test_a_picture_is_shown_and_written(case: Case, tmp_path: Path) -> None:
    folders = {"coarse": tmp_path / "coarse", "mine": tmp_path / "mine"}
    shown = case_picture(case, 0.12345, folders, "mine", TABLE, [-160, 240], tmp_path / "pictures")
    assert shown["title"] == "<b>one & co (portal): mean Dice 0.123"
    assert shown["shows"] == "image, ground truth, coarse, mine"
    kind, _, data = shown["picture"].partition(",")
    assert kind == "data:image/png;base64"
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["<b>one & co.png"]
    assert base64.b64decode(data) == (tmp_path / "pictures" / "<b>one & co.png").read_bytes()


def test_there_is_one_panel_per_map_beside_the_image(case: Case, tmp_path: Path) -> None:
    def width(*methods: str) -> int:
        folders = {method: tmp_path / method for method in methods}
        shown = case_picture(case, 0.5, folders, methods[-1], TABLE, "percentile", tmp_path / "pictures")
        return Image.open(io.BytesIO(base64.b64decode(shown["picture"].partition(",")[2]))).size[0]

    assert width("coarse", "mine") / width("coarse") == pytest.approx(4 / 3, rel=0.05)


def test_the_slice_is_that_of_the_main_methods_errors(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def overlay(image: np.ndarray, maps: dict, spacing: object, objects: int, main: str, *_: object) -> bytes:
        given.append((list(maps), objects, main))
        return b"a picture"

    monkeypatch.setattr(module, "overlay_figure", overlay)
    folders = {"coarse": tmp_path / "coarse", "mine": tmp_path / "mine"}
    for main in folders:
        case_picture(case, 0.5, folders, main, TABLE, "percentile", tmp_path / "pictures")
    assert given == [(["truth", "coarse", "mine"], 2, "coarse"), (["truth", "coarse", "mine"], 2, "mine")]


def test_ignored_voxels_and_organs_that_are_not_annotated_are_no_errors(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr(module, "overlay_figure", lambda *given: counted.append(given[-1]) or b"a picture")
    truth, drawn = label_map(), label_map(4)
    truth[0, 0, :] = 255
    write_nifti(case.label, truth)
    table = replace(TABLE, others="ignore")
    for annotated in (None, TABLE.names[:1]):
        shown = replace(case, annotated=annotated)
        case_picture(shown, 0.5, {"mine": tmp_path / "mine"}, "mine", table, "percentile", tmp_path / "pictures")
    every, some = counted
    assert not every[0, 0].any()
    assert every.sum() == truth.size - truth.shape[2]
    assert np.array_equal(every & ~some, every & (drawn == TABLE.organs[1].index))


def test_a_map_of_another_format_is_shown(case: Case, tmp_path: Path) -> None:
    write_nifti(tmp_path / "plain" / f"{case.id}.nii", label_map(2))
    same = [
        case_picture(case, 0.5, {"x": tmp_path / folder}, "x", TABLE, "percentile", tmp_path / "pictures")
        for folder in ("coarse", "plain")
    ]
    assert same[0] == same[1]


def test_a_scan_that_does_not_fit_the_ground_truth_is_refused(case: Case, tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "small.nii.gz", np.zeros((24, 24, 7), np.float32))
    with pytest.raises(SemclError, match="image and label map differ in shape"):
        case_picture(replace(case, image=image), 0.5, {}, "truth", TABLE, "percentile", tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()
