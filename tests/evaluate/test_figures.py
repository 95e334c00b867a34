"""Figures: positions of marks and pixels, and reproducible bytes."""

import io
import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from scripts.evaluate.figures import (
    COLOURS,
    box_figure,
    curves_figure,
    figure_text,
    object_colours,
    object_hex,
    overlay_figure,
    paired_figure,
)
from scripts.evaluate.metrics import BY_NAME

SVG = "{http://www.w3.org/2000/svg}"
DICE, HD95 = BY_NAME["dice"], BY_NAME["hd95"]
PAIRS = {
    "liver": np.array([(0.5, 0.75), (0.25, 1.0), (0.125, 0.5)]),
    "left_kidney": np.array([(0.375, 0.0), (0.875, 0.625)]),
}
GROUPS = {organ: dict(zip(("coarse", "refined"), pairs.T, strict=True)) for organ, pairs in PAIRS.items()}
CURVES = {"coarse": [[3.0, 2.0, 1.5], [2.5, 2.25, 0.5]], "pretrain": [[4.0, 1.0]]}
METHODS = ("coarse", "refined")


def groups(svg: str, name: str) -> list[ElementTree.Element]:
    """Groups of an SVG that matplotlib calls ``name``_1, ``name``_2, ... in order."""
    return [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if group.get("id", "").startswith(name)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def points(path: ElementTree.Element) -> np.ndarray:
    """Corners (N, 2) of a path."""
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d", "")), float)


def medians(svg: str) -> np.ndarray:
    """Places (N, 2) of the medians of boxes."""
    paths = [path for group in groups(svg, "line2d") for path in group.iter(f"{SVG}path")]
    return np.array([points(path).mean(0) for path in paths if "stroke: #212529" in path.get("style", "")])


def boxes(svg: str) -> list[str]:
    """Colours of the boxes, in order."""
    styles = [path.get("style", "") for group in groups(svg, "patch") for path in group.iter(f"{SVG}path")]
    return [re.findall("fill: (#\\w+)", style)[0] for style in styles if "opacity: 0.55" in style]


def along(values: Sequence[float], heights: Sequence[float]) -> None:
    """That heights are values on one scale that goes up."""
    slope, start = np.polyfit(values, heights, 1)
    assert slope < 0
    np.testing.assert_allclose(heights, np.multiply(values, slope) + start, atol=1e-3)


def overlay(shape: tuple[int, int, int], **parts: np.ndarray) -> np.ndarray:
    """Pixels (rows, columns, RGB) of an overlay on a black image."""
    return pixels(overlay_figure(np.full((*shape, 1), -1, np.float32), parts, [1, 1, 1], 3))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def panels(picture: np.ndarray) -> list[np.ndarray]:
    """The panels from left to right, separated by columns and rows that are almost white."""
    filled = (picture.min(2) < 200).mean(0) > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled, [0]])))
    cut = []
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        rows = np.flatnonzero((picture[:, left:right].min(2) < 200).mean(1) > 0.5)
        cut.append(picture[rows[0] : rows[-1] + 1, left:right])
    return cut


def coloured(panel: np.ndarray) -> np.ndarray:
    """Rows and columns (N, 2) of coloured pixels, as shares of the panel's height and width."""
    found = np.argwhere(panel.max(2) - panel.min(2) > 30)
    return found / np.array(panel.shape[:2])


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda: paired_figure(PAIRS, METHODS, DICE), id="pairs"),
        pytest.param(lambda: box_figure(GROUPS, DICE), id="boxes"),
        pytest.param(lambda: curves_figure(CURVES), id="curves"),
    ],
)
def test_an_svg_is_reproducible_and_has_no_time_stamp(draw: Callable[[], str]) -> None:
    once = draw()
    assert once.startswith("<svg")
    assert once == draw()
    assert "date" not in once
    assert not re.search(r"20\d\d-\d\d-\d\d", once)


def test_figures_are_closed() -> None:
    paired_figure(PAIRS, METHODS, DICE)
    box_figure(GROUPS, HD95)
    curves_figure(CURVES)
    overlay((6, 6, 2), truth=np.ones((6, 6, 2), np.uint16))
    assert plt.get_fignums() == []


def test_there_is_one_point_per_patient_at_its_dice_and_a_bar_at_the_mean() -> None:
    svg = paired_figure(PAIRS, METHODS, DICE)
    columns = [column for pairs in PAIRS.values() for column in pairs.T]
    marks = [[float(use.get("y")) for use in group.iter(f"{SVG}use")] for group in groups(svg, "PathCollection")]
    assert [len(heights) for heights in marks] == [len(column) for column in columns]
    bars = [points(path)[:, 1] for group in groups(svg, "LineCollection") for path in group.iter(f"{SVG}path")]
    means = [[column.mean()] * 2 for column in columns]
    along(np.concatenate([*columns, *means]), np.concatenate([*marks, *bars]))


def test_one_line_per_patient_joins_its_two_values() -> None:
    svg = paired_figure(PAIRS, METHODS, DICE)
    paths = [path for group in groups(svg, "line2d") for path in group.iter(f"{SVG}path")]
    lines = np.array([points(path) for path in paths if "stroke: #adb5bd" in path.get("style", "")])
    assert lines.shape == (5, 2, 2)
    assert (lines[:, 0, 0] < lines[:, 1, 0]).all()
    along(np.concatenate(list(PAIRS.values())).ravel(), lines[..., 1].ravel())


def test_there_is_one_box_per_group_and_method_with_its_median() -> None:
    svg = box_figure(GROUPS, DICE)
    expected = [np.median(GROUPS[organ][method]) for method in METHODS for organ in GROUPS]
    found = medians(svg)
    along(expected, found[:, 1])
    assert boxes(svg) == [COLOURS[0]] * 2 + [COLOURS[1]] * 2
    assert found[0, 0] < found[2, 0] < found[1, 0] < found[3, 0]  # liver of both methods, then the kidney


def test_distances_above_a_millimetre_are_plotted_on_a_logarithmic_axis() -> None:
    values = [0.0, 0.5, 1.0, 10.0, 100.0, 500.0]
    svg = box_figure({f"organ{value}": {"refined": np.array([value])} for value in values}, HD95)
    scaled = [value / 0.9 if value <= 1 else 1 / 0.9 + np.log10(value) for value in values]
    along(scaled, medians(svg)[:, 1])
    assert {"HD95 (mm)", "0", "1", "10", "100"} <= set(texts(svg))


def test_a_method_without_values_in_a_group_has_no_box_there() -> None:
    svg = box_figure({"liver": {"a": np.array([]), "b": np.array([0.5, 0.7])}}, DICE)
    assert boxes(svg) == [COLOURS[1]]
    assert {"a", "b"} <= set(texts(svg))


def test_a_group_without_pairs_is_named_and_bare() -> None:
    svg = paired_figure(PAIRS | {"portal_vein": np.empty((0, 2))}, METHODS, DICE)
    assert {"liver", "left kidney", "portal vein", "coarse", "refined", "Dice"} <= set(texts(svg))
    assert len(groups(svg, "PathCollection")) == 4


@pytest.mark.parametrize("metric", [DICE, HD95], ids=["dice", "hd95"])
@pytest.mark.parametrize("draw", [lambda m: box_figure({}, m), lambda m: paired_figure({}, METHODS, m)])
def test_an_empty_figure_can_be_plotted(draw: Callable[..., str], metric: object) -> None:
    assert groups(draw(metric), "PathCollection") == boxes(draw(metric)) == []


def test_more_methods_than_colours_are_plotted() -> None:
    count = len(COLOURS) + 2
    svg = box_figure({"liver": {f"method{number}": np.array([0.5]) for number in range(count)}}, DICE)
    assert boxes(svg) == [*COLOURS, *COLOURS[:2]]


@pytest.mark.parametrize("name", ["<b>liver</b> & co", "a$b", "$x$ and $y", "$x$", "50 % \\alpha"])
def test_names_are_shown_literally_in_the_figure(name: str) -> None:
    for svg in (
        box_figure({name: {name: np.array([0.5])}}, DICE),
        paired_figure({name: np.array([[0.5, 0.6]])}, (name, "b"), DICE),
    ):
        assert "<b>" not in svg
        assert texts(svg).count(name) == 2


def test_underscores_of_names_are_blanks() -> None:
    assert figure_text("left_kidney") == "left kidney"


def test_there_is_one_curve_per_run_with_one_point_per_epoch() -> None:
    svg = curves_figure(CURVES)
    assert {"coarse", "pretrain", "epoch", "loss"} <= set(texts(svg))
    for axes, runs in zip(groups(svg, "axes"), CURVES.values(), strict=True):
        lines = [points(path) for path in axes.iter(f"{SVG}path") if COLOURS[1] in path.get("style", "")]
        assert [len(line) for line in lines] == [len(run) for run in runs]
        along(np.concatenate(runs), np.concatenate(lines)[:, 1])


def test_methods_keep_their_colours() -> None:
    svg = paired_figure(PAIRS, METHODS, DICE)
    fills = [next(group.iter(f"{SVG}use")).get("style", "") for group in groups(svg, "PathCollection")]
    assert [COLOURS[0] in fill for fill in fills] == [True, False, True, False]
    assert [COLOURS[1] in fill for fill in fills] == [False, True, False, True]


def test_the_page_names_the_colours_of_the_pictures() -> None:
    assert len(set(object_hex(20))) == 20
    assert object_hex(23)[20:] == object_hex(3)
    shown = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in object_hex(5)])
    np.testing.assert_allclose(object_colours(5) * 255, shown, atol=0.5)


def test_an_overlay_is_a_png_the_same_each_time() -> None:
    shape = (6, 6, 2)
    data = overlay_figure(np.zeros((*shape, 1), np.float32), {"truth": np.ones(shape, np.uint16)}, [1, 1, 1], 1)
    assert Image.open(io.BytesIO(data)).format == "PNG"
    assert data == overlay_figure(np.zeros((*shape, 1), np.float32), {"truth": np.ones(shape, np.uint16)}, [1, 1, 1], 1)


def test_the_right_of_the_patient_is_on_the_left_of_the_picture() -> None:
    truth = np.zeros((24, 20, 4), np.uint16)
    truth[18:24, 8:12] = 1  # large x is right in RAS
    columns = coloured(panels(overlay(truth.shape, truth=truth))[1])[:, 1]
    assert columns.min() < 0.02
    assert columns.max() == pytest.approx(6 / 24, abs=0.02)


def test_the_front_of_the_patient_is_at_the_top_of_the_picture() -> None:
    truth = np.zeros((24, 20, 4), np.uint16)
    truth[10:14, 15:20] = 1  # large y is anterior in RAS
    rows = coloured(panels(overlay(truth.shape, truth=truth))[1])[:, 0]
    assert rows.min() < 0.02
    assert rows.max() == pytest.approx(5 / 20, abs=0.02)


def test_the_image_lies_as_the_label_maps_do() -> None:
    image = np.full((24, 20, 3), -1, np.float32)
    image[18:24, 15:20] = 1
    shown = panels(pixels(overlay_figure(image[..., None], {"truth": np.zeros(image.shape, np.uint16)}, [1, 1, 1], 1)))
    bright = shown[1].min(2) > 200
    height, width = bright.shape
    assert bright[: height // 5, : width // 5].all()
    assert not bright[height // 3 :].any()
    assert not bright[:, width // 3 :].any()


def test_only_the_panel_of_a_map_shows_its_objects() -> None:
    truth = np.zeros((12, 12, 3), np.uint16)
    truth[2:5, 2:5] = 2
    shown = panels(overlay(truth.shape, truth=truth, coarse=np.zeros_like(truth), refined=truth))
    assert [len(coloured(panel)) > 0 for panel in shown] == [False, True, False, True]
    np.testing.assert_allclose(coloured(shown[1]).max(0), coloured(shown[3]).max(0), atol=0.02)


def test_the_slice_with_most_errors_of_the_last_map_is_shown() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    truth[1:11, 1:11, 1] = 1  # the most to see, and right
    truth[1:5, 1:5, 4] = 1
    first, last = truth.copy(), truth.copy()
    first[:, :, 5] = 2  # the most errors, but of the first
    last[1:5, 1:5, 4] = 2
    shown = panels(overlay(truth.shape, truth=truth, first=first, last=last))
    assert [len(coloured(panel)) > 0 for panel in shown] == [False, True, True, True]
    assert coloured(shown[1]).max(0) == pytest.approx([11 / 12, 11 / 12], abs=0.03)
    assert coloured(shown[1]).min(0) == pytest.approx([7 / 12, 7 / 12], abs=0.03)


def test_the_slice_with_most_errors_of_the_main_map_is_shown() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    maps = {"truth": truth} | {name: truth.copy() for name in ("first", "second", "third")}
    for z, objects in enumerate(list(maps.values())[1:], start=2):
        objects[:, :, z] = 1
    image = np.full(truth.shape, -1, np.float32)
    for main, expected in {"first": 1, "second": 2, "third": 3, None: 3}.items():
        shown = panels(pixels(overlay_figure(image[..., None], maps, [1, 1, 1], 3, main)))
        assert [number for number, panel in enumerate(shown[1:]) if len(coloured(panel))] == [expected]


def test_without_errors_the_slice_with_most_of_the_ground_truth_is_shown() -> None:
    truth = np.zeros((12, 12, 6), np.uint16)
    truth[5, 5, :] = 1
    truth[2:10, 2:10, 3] = 1
    assert np.ptp(coloured(panels(overlay(truth.shape, truth=truth, last=truth))[1]), axis=0).min() > 0.6


def test_each_object_has_a_colour() -> None:
    truth = np.zeros((12, 12, 2), np.uint16)
    truth[1:5, 1:5], truth[7:11, 1:5], truth[7:11, 7:11] = 1, 2, 3
    panel = panels(overlay(truth.shape, truth=truth))[1]
    height, width = panel.shape[:2]
    places = [(0.75, 0.75), (0.75, 0.25), (0.25, 0.25)]  # of objects 1, 2, 3: x and y are both turned
    for (row, column), colour in zip(places, object_colours(3), strict=True):
        np.testing.assert_allclose(panel[int(row * height), int(column * width)], colour * 0.6 * 255, atol=3)
    assert panel[int(0.25 * height), int(0.75 * width)].max() < 10


def test_pixels_have_the_shape_of_voxels() -> None:
    shape = (10, 20, 2)
    data = overlay_figure(
        np.full((*shape, 1), -1, np.float32), {"truth": np.zeros(shape, np.uint16)}, [3.0, 1.0, 5.0], 1
    )
    height, width = panels(pixels(data))[0].shape[:2]
    assert height / width == pytest.approx(20 * 1.0 / (10 * 3.0), rel=0.03)
